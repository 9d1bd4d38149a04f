"""Links of the pages: every one leads to a file that is there, and where it names a heading, to one that is there. So do
comments that name docs/method.md."""

import re
import unittest
from pathlib import Path

from commands_test import CHECKOUT, PAGES
from lamina_process import main

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SOURCES = sorted(path for folder in ("include", "src", "tests") for path in (CHECKOUT / folder).rglob("*")
                 if path.suffix in (".hpp", ".cpp", ".py", ".cmake", ".txt", ".sh") and path != Path(__file__).resolve())
METHOD = "docs/method.md"
# Documents that are not in the repository: nobody can look anything up in them.
ABSENT = re.compile(r"\b(?:METHOD|DESIGN)\b")


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def headings(text):
    return re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def anchors(text):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}


def in_one_line(text):
    """A source's text with its comments' lines joined."""
    return re.sub(r"\s*\n\s*(?:///?|#)?\s*", " ", text)


def named_headings(text):
    """What stands behind "docs/method.md, " wherever that is named."""
    return [part[:60] for part in re.split(re.escape(METHOD) + r",? ?", in_one_line(text))[1:]]


class Pages(unittest.TestCase):
    def test_every_link_leads_somewhere(self):
        num_links = 0
        for page in PAGES:
            path = CHECKOUT / page
            for link in LINK.findall(without_code(path.read_text())):
                if re.match(r"[a-z]+:", link):
                    continue
                num_links += 1
                file, _, heading = link.partition("#")
                target = (path.parent / file).resolve() if file else path
                with self.subTest(page, link=link):
                    self.assertTrue(target.is_relative_to(CHECKOUT) and target.exists())
                    if heading:
                        self.assertIn(heading, anchors(target.read_text()))
        self.assertGreater(num_links, 20)

    def test_every_page_is_reached_from_the_readme(self):
        reached, waiting = set(), ["README.md"]
        while waiting:
            page = waiting.pop()
            if page in reached:
                continue
            reached.add(page)
            path = CHECKOUT / page
            for link in LINK.findall(without_code(path.read_text())):
                target = (path.parent / link.partition("#")[0]).resolve()
                if not re.match(r"[a-z]+:", link) and target.suffix == ".md" and target.exists():
                    waiting.append(str(target.relative_to(CHECKOUT)))
        self.assertEqual(set(PAGES) - reached, set())

    def test_sources_name_no_document_that_is_absent(self):
        for path in SOURCES:
            with self.subTest(path.relative_to(CHECKOUT)):
                self.assertIsNone(ABSENT.search(path.read_text()))

    def test_sources_name_headings_of_the_method_that_are_there(self):
        there = headings((CHECKOUT / METHOD).read_text())
        num_named = 0
        for path in SOURCES:
            for named in named_headings(path.read_text()):
                num_named += 1
                with self.subTest(path.relative_to(CHECKOUT), named=named):
                    self.assertTrue(any(re.match(re.escape(heading) + r"\b", named) for heading in there))
        self.assertGreater(num_named, 20)

    def test_code_blocks_are_closed_and_tables_have_their_columns(self):
        for page in PAGES:
            text = (CHECKOUT / page).read_text()
            with self.subTest(page):
                self.assertEqual(len(re.findall(r"^```", text, re.MULTILINE)) % 2, 0)
                for table in re.findall(r"(?:^\|.*\|$\n)+", without_code(text), re.MULTILINE):
                    counts = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
                    self.assertEqual(len(counts), 1, table)


if __name__ == "__main__":
    main()

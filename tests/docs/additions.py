"""What the pages under docs/adding add to the sources: blocks ```diff are patches, blocks ```cpp PATH are new files.

  additions.py list PAGE...                    the files that are changed or new, a line each
  additions.py apply SOURCE TREE PAGE...       a copy of SOURCE's include, src and tests in TREE, with all of it
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(cpp|diff)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(pages):
    """(page, path, text of a new file or nothing, patch or nothing)"""
    for page in pages:
        for language, path, text in BLOCK.findall(Path(page).read_text()):
            if language == "diff":
                yield page, re.search(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)[1], None, text
            elif path:
                yield page, path, text, None


def apply(source, tree, pages):
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("include", "src", "tests"):  # with their times: a header that is the same is known to be
        shutil.copytree(source / folder, tree / folder, copy_function=shutil.copy2)
    for page, path, text, patch in blocks(pages):
        if text is not None:
            if (tree / path).exists():
                sys.exit(f"{page}: expected {path} to be new, found one")
            (tree / path).write_text(text)
            continue
        run = subprocess.run(["patch", "-p1", "--no-backup-if-mismatch"], cwd=tree, input=patch, text=True, capture_output=True)
        if run.returncode:
            sys.exit(f"{page}: the patch of {path} does not fit the sources any more:\n{run.stdout}{run.stderr}")


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "list":
        print("\n".join(dict.fromkeys(path for _, path, _, _ in blocks(rest))))
    else:
        apply(Path(rest[0]), Path(rest[1]), rest[2:])

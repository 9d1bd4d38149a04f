"""launch/fetch_data on made-up archives, from files and over real sockets from a server on the loopback."""

import contextlib
import hashlib
import http.server
import importlib.machinery
import importlib.util
import io
import multiprocessing
import os
import resource
import signal
import sys
import tarfile
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
SCRIPT = Path(__file__).resolve().parents[2] / "launch" / "fetch_data"
loader = importlib.machinery.SourceFileLoader("fetch_data", str(SCRIPT))
fetch_data = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(fetch_data)

NOBODY = 65534
MEMBERS = {"tiny/train.bin": os.urandom(300_000), "tiny/test.bin": os.urandom(50_000)}


def md5(content):
    return hashlib.md5(content).hexdigest()


def packed(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at every path. Each request takes the next limit: so many bytes are sent, then the
    connection closes; 0 is an error reply; when the limits have run out, everything is sent."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.limits, self.starts = content, [], []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        limit = server.limits.pop(0) if server.limits else len(server.content)
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        server.starts.append(start)
        if limit == 0 or start >= len(server.content):
            self.send_error(503 if limit == 0 else 416)
            return
        rest = server.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[:limit])

    def log_message(self, *_):
        pass


class FetchData(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name) / "data"
        self.archive = Path(folder.name) / "tiny.tar.gz"
        self.content = packed(MEMBERS)
        self.archive.write_bytes(self.content)
        self.server = Server(self.content)
        self.addCleanup(self.server.stop)

    def data_set(self, content=None, members=None):
        archive = fetch_data.Archive(self.server.url("tiny.tar.gz"), md5(content or self.content))
        return fetch_data.DataSet("tiny", (archive,), members or {})

    def run_fetch(self, *arguments, data_set=None):
        """(exit code, standard output, standard error)"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = fetch_data.main(["tiny", "--root", str(self.root), *map(str, arguments)],
                                   {"tiny": data_set or self.data_set()})
        return code, out.getvalue(), err.getvalue()

    def left_over(self):
        return sorted(path.name for path in self.root.iterdir() if not path.name.endswith(".lock"))

    def expect_whole(self):
        self.assertEqual(self.left_over(), ["tiny"])
        for name, content in MEMBERS.items():
            self.assertEqual((self.root / name).read_bytes(), content, name)

    def expect_one_line(self, text, *parts):
        self.assertEqual(text.count("\n"), 1, text)
        for part in parts:
            self.assertIn(str(part), text)

    def test_an_archive_at_hand_is_checked_and_unpacked_and_kept(self):
        code, _, err = self.run_fetch("--from", self.archive)
        self.assertEqual((code, err), (0, ""))
        self.expect_whole()
        self.assertEqual(self.archive.read_bytes(), self.content)
        self.assertEqual(self.server.starts, [])

    def test_a_download_leaves_the_data_set_and_nothing_else(self):
        self.assertEqual(self.run_fetch()[0], 0)
        self.expect_whole()
        self.assertEqual(self.server.starts, [0])

    def test_a_data_set_that_is_there_is_not_fetched_again(self):
        self.run_fetch("--from", self.archive)
        (self.root / "tiny/train.bin").write_bytes(b"mine")
        code, out, _ = self.run_fetch()
        self.assertEqual(code, 0)
        self.expect_one_line(out, "already there", self.root / "tiny")
        self.assertEqual((self.root / "tiny/train.bin").read_bytes(), b"mine")
        self.assertEqual(self.server.starts, [])

    def test_a_connection_that_breaks_is_continued_where_it_broke(self):
        self.server.limits = [1000, 2000]
        self.assertEqual(self.run_fetch()[0], 0)
        self.expect_whole()
        self.assertEqual(self.server.starts, [0, 1000, 3000])

    def test_the_next_run_continues_what_a_failed_one_kept(self):
        self.server.limits = [1000, 0]
        code, _, err = self.run_fetch()
        self.assertEqual(code, 3)
        self.expect_one_line(err, "503", "run again")
        self.assertEqual(self.left_over(), ["tiny.tar.gz.part"])
        self.assertEqual(self.run_fetch()[0], 0)
        self.expect_whole()
        self.assertEqual(self.server.starts, [0, 1000, 1000])

    def test_a_whole_part_file_needs_no_more_bytes(self):
        self.root.mkdir()
        (self.root / "tiny.tar.gz.part").write_bytes(self.content)
        self.assertEqual(self.run_fetch()[0], 0)
        self.expect_whole()
        self.assertEqual(self.server.starts, [len(self.content)])

    def test_a_download_with_a_wrong_md5_leaves_nothing(self):
        expected = self.data_set(content=b"another file")
        code, _, err = self.run_fetch(data_set=expected)
        self.assertEqual(code, 3)
        self.expect_one_line(err, expected.archives[0].md5, md5(self.content), self.root / "tiny.tar.gz")
        self.assertEqual(self.left_over(), [])

    def test_an_archive_at_hand_with_a_wrong_md5_is_refused_and_kept(self):
        code, _, err = self.run_fetch("--from", self.archive, data_set=self.data_set(content=b"another file"))
        self.assertEqual(code, 3)
        self.expect_one_line(err, md5(self.content), self.archive)
        self.assertEqual(self.left_over(), [])
        self.assertTrue(self.archive.exists())

    def test_an_archive_packed_anew_is_accepted_by_its_members_md5(self):
        members = {Path(name).name: md5(content) for name, content in MEMBERS.items()}
        self.archive.write_bytes(packed(MEMBERS, mode="w:xz"))
        self.assertEqual(self.run_fetch("--from", self.archive, data_set=self.data_set(members=members))[0], 0)
        self.expect_whole()

    def test_an_archive_packed_anew_with_one_changed_member_is_refused(self):
        members = {Path(name).name: md5(content) for name, content in MEMBERS.items()}
        self.archive.write_bytes(packed({**MEMBERS, "tiny/test.bin": b"other"}))
        code, _, err = self.run_fetch("--from", self.archive, data_set=self.data_set(members=members))
        self.assertEqual(code, 3)
        self.expect_one_line(err, "test.bin", members["test.bin"], md5(b"other"))
        self.assertEqual(self.left_over(), [])

    def test_a_truncated_archive_packed_anew_is_refused(self):
        members = {Path(name).name: md5(content) for name, content in MEMBERS.items()}
        self.archive.write_bytes(packed(MEMBERS, mode="w:xz")[:-20_000])
        code, _, err = self.run_fetch("--from", self.archive, data_set=self.data_set(members=members))
        self.assertEqual(code, 3)
        self.expect_one_line(err, "damaged", self.archive)
        self.assertEqual(self.left_over(), [])

    def test_a_member_that_would_leave_its_folder_is_refused(self):
        outside = self.root.parent / "outside"
        for name in ("../../outside", "tiny/../../../outside", str(outside)):
            with self.subTest(name):
                content = packed({"tiny/train.bin": b"x", name: b"evil"})
                self.archive.write_bytes(content)
                code, _, err = self.run_fetch("--from", self.archive, data_set=self.data_set(content))
                self.assertEqual(code, 3)
                self.expect_one_line(err, name)
                self.assertFalse(outside.exists())
                self.assertEqual(self.left_over(), [])

    def test_a_link_in_the_archive_is_refused(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            link = tarfile.TarInfo("tiny/train.bin")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        self.archive.write_bytes(buffer.getvalue())
        code, _, err = self.run_fetch("--from", self.archive, data_set=self.data_set(buffer.getvalue()))
        self.assertEqual(code, 3)
        self.expect_one_line(err, "tiny/train.bin")
        self.assertEqual(self.left_over(), [])

    def test_plain_files_are_taken_as_they_are_in_the_tables_order(self):
        files = [self.root.parent / name for name in ("a", "b")]
        for file in files:
            file.write_bytes(file.name.encode())
        archives = tuple(fetch_data.Archive(self.server.url(f"{file.name}.mat"), md5(file.read_bytes()))
                         for file in files)
        data_set = fetch_data.DataSet("tiny", archives)
        swapped = self.run_fetch("--from", files[1], "--from", files[0], data_set=data_set)
        self.assertEqual(swapped[0], 3)
        self.assertEqual(self.left_over(), [])
        self.assertEqual(self.run_fetch("--from", files[0], "--from", files[1], data_set=data_set)[0], 0)
        self.assertEqual((self.root / "tiny/a.mat").read_bytes(), b"a")
        self.assertEqual((self.root / "tiny/b.mat").read_bytes(), b"b")

    def in_a_child(self, before):
        """Exit code of a fetch in a process of its own, in which `before()` ran first."""
        def child():
            before()
            sys.exit(self.run_fetch("--from", self.archive)[0])
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        return process.exitcode

    def test_a_run_killed_while_unpacking_leaves_no_data_set_and_the_next_one_cleans_up(self):
        copy = fetch_data.copy

        def die_after_the_first_file(source, target):
            copy(source, target)
            os.kill(os.getpid(), signal.SIGKILL)
        self.assertEqual(self.in_a_child(lambda: setattr(fetch_data, "copy", die_after_the_first_file)),
                         -signal.SIGKILL)
        self.assertFalse((self.root / "tiny").exists())
        self.assertEqual(self.run_fetch("--from", self.archive)[0], 0)
        self.expect_whole()

    def test_a_data_set_in_a_folder_that_cannot_be_written_is_there(self):
        (self.root / "tiny").mkdir(parents=True)
        self.root.parent.chmod(0o755)
        self.root.chmod(0o555)

        def as_nobody():
            if os.geteuid() == 0:
                os.setuid(NOBODY)
        self.assertEqual(self.in_a_child(as_nobody), 0)
        self.assertEqual(list(self.root.glob(".*")), [])

    def test_an_interrupted_unpacking_leaves_nothing(self):
        with mock.patch.object(fetch_data, "copy", side_effect=KeyboardInterrupt):
            code, _, err = self.run_fetch("--from", self.archive)
        self.assertEqual(code, 130)
        self.expect_one_line(err, "interrupted")
        self.assertEqual(self.left_over(), [])

    def test_files_that_cannot_be_written_end_with_the_storage_code_and_leave_nothing(self):
        limit = (100_000, 100_000)
        self.assertEqual(self.in_a_child(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)), 5)
        self.assertEqual(self.left_over(), [])

    def test_of_two_at_once_the_second_waits_and_finds_it_there(self):
        self.root.mkdir()
        results = []
        second = threading.Thread(target=lambda: results.append(fetch_data.main(
            ["tiny", "--root", str(self.root)], {"tiny": self.data_set()})))
        waits = threading.Event()
        said = []

        def say(message):
            said.append(message)
            waits.set()
        with mock.patch.object(fetch_data, "say", say):
            with fetch_data.only_one(self.root / ".tiny.lock"):
                second.start()
                self.assertTrue(waits.wait(timeout=60))
                (self.root / "tiny").mkdir()
            second.join()
        self.assertEqual(results, [0])
        self.assertIn("waiting", said[0])
        self.assertIn("already there", said[1])
        self.assertEqual(self.server.starts, [])

    def test_an_unreachable_address_is_a_data_error(self):
        unreachable = self.data_set()
        self.server.stop()
        code, _, err = self.run_fetch(data_set=unreachable)
        self.assertEqual(code, 3)
        self.expect_one_line(err, unreachable.archives[0].url)

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            self.assertEqual(fetch_data.main(["cifar11"], fetch_data.DATA_SETS), 2)
        self.expect_one_line(err.getvalue(), "cifar11", "cifar10, cifar100, stl10, svhn")

    def test_every_data_set_of_the_table_has_whole_md5s(self):
        for name, data_set in fetch_data.DATA_SETS.items():
            for text in [archive.md5 for archive in data_set.archives] + list(data_set.members.values()):
                self.assertRegex(text, "^[0-9a-f]{32}$", name)


if __name__ == "__main__":
    unittest.main()

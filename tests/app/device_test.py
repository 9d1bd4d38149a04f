"""What --version says of GPUs, and what a run on one says where there is none."""

import re
import subprocess
import unittest

from lamina_process import CONFIG, DEVICE, LaminaTest, main


def has_driver():
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Device(LaminaTest):
    def setUp(self):
        super().setUp()
        lines = self.lamina("--version").stdout.splitlines()
        self.versions = dict(line.split(" ", 1) for line in lines)

    def test_version_lists_cuda_and_nccl_or_neither(self):
        with_cuda = self.versions["CUDA"] != "none"
        for library in ("CUDA", "NCCL"):
            self.assertRegex(self.versions[library], r"^\d+\.\d+" if with_cuda else "^none$")
        self.assertEqual("+cu" in self.versions["LibTorch"] or with_cuda, with_cuda)

    @unittest.skipIf(has_driver(), "this host has a GPU")
    def test_a_run_on_a_gpu_says_what_is_missing(self):
        missing = "is its driver loaded" if self.versions["CUDA"] != "none" else "this build of Lamina has no cuda"
        process = self.train("gpu", "pipeline.device=cuda", expect=DEVICE)
        self.assert_refused(process, DEVICE, missing)
        self.assertFalse((self.folder / "gpu").exists())

    def test_show_needs_no_gpu(self):
        process = self.lamina("show", self.config, "--set", "pipeline.device=cuda")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertTrue(re.search(r"pipeline.device +cuda", process.stdout))

    def test_mpi_carries_no_tensors_of_a_gpu(self):
        process = self.train("mpi", "pipeline.device=cuda", "pipeline.transport=mpi", expect=CONFIG)
        self.assert_refused(process, CONFIG, "choose nccl")


if __name__ == "__main__":
    main()

"""The batch scripts of PBS, LSF and Grid Engine, and Slurm's too, with stand-ins for the schedulers and for launch/run.

Only Slurm is also tested for real (slurm_test.py): what is tested here is that our side of a script does what it says when
the scheduler does what its manual says.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = {"slurm": "cluster/slurm/train.sbatch", "pbs": "cluster/pbs/train.pbs", "lsf": "cluster/lsf/train.lsf",
           "sge": "cluster/sge/train.sge"}
WARNING = {"slurm": signal.SIGUSR1, "pbs": signal.SIGUSR1, "lsf": signal.SIGUSR2, "sge": signal.SIGUSR1}
EXIT_CODE_OF_A_REQUEUE = {"slurm": 0, "pbs": 0, "lsf": 99, "sge": 99}
SELECT = "2:ncpus=16:mpiprocs=1:host=a-long-name+1:ncpus=8:mpiprocs=1"


def qsub_again(walltime="24:00:00"):
    """The call by which a job of PBS submits the next, with what qsub's command line gave it."""
    return f"qsub -l select={SELECT} -l walltime={walltime} -q long -A physics cluster/pbs/train.pbs"


CALLS_OF_A_REQUEUE = {"slurm": ["scontrol requeue 17"], "pbs": [qsub_again()], "lsf": [], "sge": []}

# As qstat tells of a job: long lines are folded.
JOB_OF_PBS = f"""Job Id: 17.server
    Job_Name = lamina
    queue = long
    Account_Name = physics
    Resource_List.ncpus = 40
    Resource_List.select = {SELECT[:40]}
\t{SELECT[40:]}
    Resource_List.walltime = WALLTIME
    Submit_arguments = -q long -A physics cluster/pbs/train.pbs
"""

# Trains until it is told to stop, or to its end, or fails; or stops by itself, for the reason that the tests set.
LAUNCH_RUN = r"""#!/bin/bash
echo "$*" > run.arguments
echo "$LAMINA_BEGAN" > run.began
mkdir -p "$LAMINA_OUT"
printf 'train:\n  stop_before: 1m\n' > "$LAMINA_OUT/config.yaml"
summary() {
  printf '{\n  "complete": %s,\n  "step": %s,\n  "stopped_by": %s,\n  "workers": [{\n    "stopped_by": "stop_before"\n  }]\n}\n' \
    "$1" "$(cat step)" "$2" > "$LAMINA_OUT/summary.json"
}
[[ -e deaf ]] && touch trains && exec sleep 20
trap 'echo >> stops' TERM
[[ -e fail ]] && exit 5
[[ -e finish ]] && summary true null && exit 0
touch trains
[[ -e stopped_by ]] || until [[ -e stops && -e may_end ]]; do sleep 0.05; done
summary false "$(cat stopped_by 2>/dev/null || echo '"signal"')"
"""
BEGINNING = 1700000000


class BatchScripts(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="lamina-"))
        self.addCleanup(shutil.rmtree, self.root)
        shutil.copytree(PROJECT / "cluster", self.root / "cluster")
        self.program("launch/run", LAUNCH_RUN)
        for name in ("scontrol", "qsub"):
            self.program(f"programs/{name}", f'#!/bin/sh\necho "{name} $*" >> {self.root}/calls\n')
        self.program("programs/date", f"#!/bin/sh\ncat {self.root}/clock\n")
        self.tell(clock=BEGINNING, step=7)
        self.walltime("24:00:00")

    def tell(self, **files):
        """What the stand-ins read."""
        for name, value in files.items():
            (self.root / name).write_text(f"{value}\n")

    def program(self, path, text):
        file = self.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def walltime(self, text):
        (self.root / "job").write_text(JOB_OF_PBS.replace("WALLTIME", text))
        self.program("programs/qstat", f'#!/bin/sh\n[ "$*" = "-f 17.server" ] && cat {self.root}/job\n')

    def job(self, scheduler, **variables):
        root = str(self.root)
        environment = os.environ | {
            "PATH": f"{self.root}/programs:{os.environ['PATH']}", "LAMINA_OUT": "out", "SLURM_SUBMIT_DIR": root,
            "SLURM_JOB_ID": "17", "PBS_O_WORKDIR": root, "PBS_JOBID": "17.server", "LS_SUBCWD": root} | variables
        # As schedulers do: a copy of the script, from a folder of their own.
        copy = self.root / "spool" / "job"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(self.root / SCRIPTS[scheduler], copy)
        return subprocess.Popen(["bash", copy], cwd=root, env=environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def end(self, process):
        console = process.communicate(timeout=20)[0]
        return process.returncode, console

    def signalled(self, scheduler, *signals):
        """The end of a job whose script gets these signals, one after the other, while it trains."""
        for name in ("trains", "stops", "may_end"):
            (self.root / name).unlink(missing_ok=True)
        process = self.job(scheduler)
        self.wait_for(process, lambda: (self.root / "trains").exists())
        for num, each in enumerate(signals, 1):
            process.send_signal(each)
            self.wait_for(process, lambda num=num: self.num_stops() == num)
        (self.root / "may_end").touch()
        return self.end(process)

    def num_stops(self):
        path = self.root / "stops"
        return len(path.read_text()) if path.exists() else 0

    def wait_for(self, process, condition):
        while not condition():
            self.assertIsNone(process.poll())
            time.sleep(0.01)

    def calls(self):
        path = self.root / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls

    def test_a_warning_stops_the_run_and_has_it_run_again(self):
        for scheduler, warning in WARNING.items():
            with self.subTest(scheduler):
                code, console = self.signalled(scheduler, warning)
                self.assertEqual(code, EXIT_CODE_OF_A_REQUEUE[scheduler], console)
                self.assertIn("the time is nearly up", console)
                self.assertEqual(self.calls(), CALLS_OF_A_REQUEUE[scheduler])

    def test_a_warning_that_is_repeated_while_the_run_stops_does_not_cut_it_short(self):
        for scheduler, warning in WARNING.items():
            with self.subTest(scheduler):
                self.assertEqual(self.signalled(scheduler, warning, signal.SIGTERM, warning)[0],
                                 EXIT_CODE_OF_A_REQUEUE[scheduler])

    def test_a_signal_that_comes_before_there_is_anybody_to_hear_it_is_no_failure(self):
        (self.root / "deaf").touch()
        for scheduler, warning in WARNING.items():
            with self.subTest(scheduler):
                (self.root / "trains").unlink(missing_ok=True)
                process = self.job(scheduler)
                self.wait_for(process, lambda: (self.root / "trains").exists())
                process.send_signal(warning)
                code, console = self.end(process)
                self.assertEqual(code, EXIT_CODE_OF_A_REQUEUE[scheduler], console)
                self.assertEqual(self.calls(), CALLS_OF_A_REQUEUE[scheduler])

    def stopping(self, scheduler, reason, step, **variables):
        """The end of a job whose run stops by itself, unfinished, for this reason at this step."""
        self.tell(stopped_by=f'"{reason}"', step=step)
        return self.end(self.job(scheduler, **variables))

    def test_a_run_whose_own_budget_of_time_is_over_runs_again(self):
        for num, scheduler in enumerate(SCRIPTS, 1):
            with self.subTest(scheduler):
                code, console = self.stopping(scheduler, "stop_before", step=100 * num)
                self.assertEqual(code, EXIT_CODE_OF_A_REQUEUE[scheduler], console)
                self.assertIn("train.stop_before is over", console)
                self.assertEqual(self.calls(), CALLS_OF_A_REQUEUE[scheduler])

    def test_a_run_that_was_stopped_otherwise_is_not_run_again(self):
        for scheduler in SCRIPTS:
            for reason in ("early_stop", "stop_file", "signal"):
                with self.subTest(scheduler, reason=reason):
                    self.assertEqual(self.stopping(scheduler, reason, step=7), (0, ""))
                    self.assertEqual(self.calls(), [])

    def test_a_budget_that_leaves_time_for_no_step_does_not_run_again_for_ever(self):
        self.assertEqual(self.stopping("slurm", "stop_before", step=0)[0], 2)
        self.stopping("slurm", "stop_before", step=7)
        self.assertEqual(self.calls(), ["scontrol requeue 17"])
        code, console = self.stopping("slurm", "stop_before", step=7)
        self.assertEqual((code, console), (2, "expected train.stop_before to leave time for a step, found 1m\n"))
        self.assertEqual(self.calls(), [])

    def test_the_budget_counts_from_the_jobs_own_beginning(self):
        """A job that another one has submitted may be handed that one's environment."""
        self.stopping("pbs", "stop_before", step=7, LAMINA_BEGAN="1")
        self.assertEqual((self.root / "run.began").read_text(), f"{BEGINNING}\n")

    def test_who_is_stopped_by_the_user_is_not_run_again(self):
        for scheduler in SCRIPTS:
            with self.subTest(scheduler):
                self.assertEqual(self.signalled(scheduler, signal.SIGTERM), (0, ""))
                self.assertEqual(self.calls(), [])
        self.assertEqual(self.signalled("sge", signal.SIGUSR2), (0, ""))

    def test_a_finished_run_ends_the_job(self):
        (self.root / "finish").touch()
        for scheduler in SCRIPTS:
            with self.subTest(scheduler):
                self.assertEqual(self.end(self.job(scheduler)), (0, ""))
                self.assertEqual(self.calls(), [])

    def test_a_failed_run_ends_the_job_with_its_code(self):
        (self.root / "fail").touch()
        for scheduler in SCRIPTS:
            with self.subTest(scheduler):
                self.assertEqual(self.end(self.job(scheduler)), (5, ""))

    def test_pbs_is_warned_by_a_timer_of_the_scripts_own(self):
        self.walltime("00:05:02")  # the warning comes 300 s before
        (self.root / "may_end").touch()
        code, console = self.end(self.job("pbs"))
        self.assertEqual(code, 0, console)
        self.assertEqual(self.calls(), [qsub_again("00:05:02")])

    def test_pbs_gives_the_next_job_no_more_than_this_one_had(self):
        lines = JOB_OF_PBS.replace("WALLTIME", "24:00:00").splitlines()
        (self.root / "job").write_text("\n".join(line for line in lines if "Account_Name" not in line) + "\n")
        self.stopping("pbs", "stop_before", step=7)
        self.assertEqual(self.calls(), [qsub_again().replace(" -A physics", "")])

    def test_pbs_with_less_time_than_the_warning_needs_is_refused(self):
        self.walltime("00:04:00")
        code, console = self.end(self.job("pbs"))
        self.assertEqual((code, console), (2, "expected a walltime above 300 s\n"))

    def test_the_parameters_can_be_set_in_the_environment(self):
        (self.root / "finish").touch()
        process = self.job("slurm", LAMINA_CONFIGS="a.yaml b.yaml", LAMINA_OUT="elsewhere",
                           LAMINA_ARGUMENTS="--set train.seed=3")
        self.assertEqual(self.end(process), (0, ""))
        self.assertEqual((self.root / "run.arguments").read_text(),
                         "a.yaml b.yaml --out elsewhere --resume --restarts 3 --set train.seed=3\n")

    def test_what_is_trained_without_parameters_exists(self):
        (self.root / "finish").touch()
        self.end(self.job("slurm"))
        self.assertTrue((PROJECT / (self.root / "run.arguments").read_text().split()[0]).is_file())


if __name__ == "__main__":
    unittest.main()

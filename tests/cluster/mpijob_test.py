"""cluster/kubeflow/mpijob.yaml against the fields that the operator documents, and its launcher with a stand-in for
launch/run; no operator runs it.

Source: kubeflow/mpi-operator, sdk/python/v2beta1/docs (V2beta1MPIJobSpec, V2beta1RunPolicy, V2beta1ReplicaSpec), and
pkg/apis/kubeflow/v2beta1/types.go for the values; for pods the Kubernetes API reference, core/v1.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from batch_scripts_test import LAUNCH_RUN

try:
    import yaml
except ImportError:
    yaml = None

PROJECT = Path(__file__).resolve().parents[2]

# What may stand in a mapping: a set of values, a type, another mapping, [what each entry of a list is], {...: of any key}.
ANY = object()
VOLUME_MOUNT = {"name": str, "mountPath": str, "readOnly": bool, "subPath": str}
CONTAINER = {
    "name": str, "image": str, "imagePullPolicy": {"Always", "IfNotPresent", "Never"}, "command": [str], "args": [str],
    "workingDir": str, "env": [{"name": str, "value": str, "valueFrom": ANY}], "volumeMounts": [VOLUME_MOUNT],
    "resources": {"requests": {...: str}, "limits": {...: str}}, "securityContext": ANY,
    "readinessProbe": {"tcpSocket": {"port": int}, "initialDelaySeconds": int, "periodSeconds": int},
}
POD = {
    "containers": [CONTAINER], "volumes": [{"name": str, "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
                                            "emptyDir": ANY, "hostPath": ANY}],
    "terminationGracePeriodSeconds": int, "nodeSelector": {...: str}, "tolerations": ANY, "affinity": ANY,
    "hostNetwork": bool,
}
REPLICAS = {
    "replicas": int, "restartPolicy": {"Always", "OnFailure", "Never", "ExitCode"},
    "template": {"metadata": {"labels": {...: str}, "annotations": {...: str}}, "spec": POD},
}
MPI_JOB = {
    "apiVersion": {"kubeflow.org/v2beta1"}, "kind": {"MPIJob"},
    "metadata": {"name": str, "namespace": str, "labels": {...: str}, "annotations": {...: str}},
    "spec": {
        "slotsPerWorker": int, "runLauncherAsWorker": bool, "sshAuthMountPath": str,
        "launcherCreationPolicy": {"AtStartup", "WaitForWorkersReady"},
        "mpiImplementation": {"OpenMPI", "Intel", "MPICH"},
        "runPolicy": {"cleanPodPolicy": {"None", "Running", "All"}, "ttlSecondsAfterFinished": int,
                      "activeDeadlineSeconds": int, "backoffLimit": int, "schedulingPolicy": ANY, "suspend": bool,
                      "managedBy": str},
        "mpiReplicaSpecs": {"Launcher": REPLICAS, "Worker": REPLICAS},
    },
}


def problems(value, schema, where="mpijob"):
    if schema is ANY:
        return []
    if isinstance(schema, set):
        return [] if value in schema else [f"{where}: expected one of {schema}, found {value}"]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{where}: expected a list, found {value}"]
        return [p for i, each in enumerate(value) for p in problems(each, schema[0], f"{where}[{i}]")]
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{where}: expected a mapping, found {value}"]
        unknown = [f"{where}: unknown field {key}" for key in value if key not in schema and ... not in schema]
        return unknown + [p for key, each in value.items() if key in schema or ... in schema
                          for p in problems(each, schema.get(key, schema.get(...)), f"{where}.{key}")]
    return [] if type(value) is schema else [f"{where}: expected {schema.__name__}, found {value!r}"]


@unittest.skipUnless(yaml, "not installed: pyyaml; launch/setup --tools installs it")
class MpiJob(unittest.TestCase):
    def setUp(self):
        self.job = yaml.safe_load((PROJECT / "cluster/kubeflow/mpijob.yaml").read_text())
        self.replicas = self.job["spec"]["mpiReplicaSpecs"]

    def pod(self, role):
        return self.replicas[role]["template"]["spec"]

    def test_every_field_is_one_of_the_operators(self):
        self.assertEqual(problems(self.job, MPI_JOB), [])

    def test_a_wrong_field_or_value_would_be_found(self):
        self.job["spec"]["slotsPerWorkers"] = 1
        self.job["spec"]["runPolicy"]["cleanPodPolicy"] = "Sometimes"
        self.pod("Worker")["containers"][0]["command"] = "sshd"
        self.assertEqual(len(problems(self.job, MPI_JOB)), 3)

    def test_both_roles_run_one_image_with_the_volumes_that_they_mount(self):
        images = {container["image"] for role in self.replicas for container in self.pod(role)["containers"]}
        self.assertEqual(len(images), 1)
        for role in ("Launcher", "Worker"):
            volumes = {volume["name"] for volume in self.pod(role)["volumes"]}
            mounts = {mount["name"] for container in self.pod(role)["containers"] for mount in container["volumeMounts"]}
            self.assertEqual(volumes, mounts, role)

    def launcher(self, root, *told, stop=False):
        """(exit code, arguments of launch/run) of the launcher's container in a folder, with files that the stand-in reads."""
        shutil.copytree(PROJECT / "cluster", root / "cluster")
        (root / "launch").mkdir()
        (root / "launch/run").write_text(LAUNCH_RUN)
        (root / "launch/run").chmod(0o755)
        for name, text in (("step", "7"), *told):
            (root / name).write_text(f"{text}\n")
        (container,) = self.pod("Launcher")["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        process = subprocess.Popen(container["command"] + container["args"], cwd=root,
                                   env=os.environ | variables | {"LAMINA_OUT": "out"}, stdout=subprocess.DEVNULL)
        while stop and not (root / "trains").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        if stop:
            process.send_signal(signal.SIGTERM)
        return process.wait(timeout=20), (root / "run.arguments").read_text().split()

    def expect_end(self, code, *told, **how):
        with self.subTest(told), tempfile.TemporaryDirectory(prefix="lamina-") as folder:
            self.assertEqual(self.launcher(Path(folder), *told, **how)[0], code)

    def test_a_launcher_that_was_stopped_before_the_end_is_started_again(self):
        """Kubernetes starts again what ends with another code than 0."""
        self.expect_end(75, ("may_end", ""), stop=True)
        self.expect_end(75, ("deaf", ""), stop=True)  # and left no summary
        self.expect_end(75, ("stopped_by", '"stop_before"'))
        self.expect_end(5, ("fail", ""))

    def test_a_launcher_whose_run_is_at_its_end_or_was_stopped_for_good_is_not(self):
        self.expect_end(0, ("finish", ""))
        for reason in ("early_stop", "stop_file"):
            self.expect_end(0, ("stopped_by", f'"{reason}"'))

    def test_the_launcher_resumes_configurations_of_this_checkout(self):
        with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
            arguments = self.launcher(Path(folder), ("finish", ""))[1]
        configs = [argument for argument in arguments if argument.endswith(".yaml")]
        self.assertTrue(configs)
        for config in configs:
            self.assertTrue((PROJECT / config).is_file(), config)
        self.assertIn("--resume", arguments)
        self.assertEqual(arguments[arguments.index("--hostfile") + 1], "/etc/mpi/hostfile")


if __name__ == "__main__":
    unittest.main()

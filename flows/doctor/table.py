"""What `mtl doctor` looks at, in the order in which one would mend it: what stands above is needed by what stands below."""

from __future__ import annotations

from flows.doctor import checkout, machine, services, versions
from flows.doctor.findings import Check

CHECKS: dict[str, Check] = {
    "python": versions.python,
    "packages": versions.packages,
    "pins": versions.pins,
    "checkout": checkout.checkout,
    "params": checkout.params,
    "git": checkout.repository,
    "git identity": checkout.identity,
    "processors": machine.processors,
    "memory": machine.memory,
    "shared memory": machine.shared_memory,
    "open files": machine.open_files,
    "gpu": machine.gpu,
    "disk": checkout.room,
    "file system": checkout.file_system,
    "clock": machine.clock,
    "proxies": services.proxies,
    "ports": services.ports,
    "dvc remote": services.remote,
    "mlflow": services.mlflow,
    "prefect": services.prefect,
    "ray": services.ray,
    "storage": services.storage,
    "keys": services.keys,
}

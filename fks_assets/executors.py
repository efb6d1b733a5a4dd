"""Where the steps of a run execute: chosen by FKS_EXECUTOR, the same code everywhere."""

import dagster as dg

from fks_assets.errors import SettingsError


def build_executor(name: str) -> dg.ExecutorDefinition:
    """Return the executor called `name`; raise SettingsError that names the missing extra if it is not installed."""
    if name == "in_process":
        return dg.in_process_executor
    if name == "multiprocess":
        return dg.multiprocess_executor
    try:
        if name == "celery":
            from dagster_celery import celery_executor

            return celery_executor
        if name == "k8s":
            from dagster_k8s import k8s_job_executor

            return k8s_job_executor
    except ImportError:
        raise SettingsError(f"executor {name!r} needs its extra: pip install 'fks_assets[{name}]'") from None
    raise SettingsError(f"executor {name!r} is unknown; known: in_process, multiprocess, celery, k8s")

"""Property tests here are judged by their answers alone: on a busy machine an example may take as long as it wants."""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", settings.get_profile("desk"), suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

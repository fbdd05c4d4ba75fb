"""Every mistake that a user can make and every refusal of ours: one line each, never a traceback."""


class GanLibError(Exception):
    """Base of all errors raised on purpose. Its text is one line that names the field, the bound, the reason and the value."""

    exit_code = 2  # of the command line: a user's mistake

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this: a mistake in a parameters cell shows as one line in the notebook too.
        return [f"{type(self).__name__}: {self}"]


class ConfigurationError(GanLibError):
    """A parameter that is unknown, of the wrong type, out of bounds, or at odds with another."""


class DataError(GanLibError):
    """Images that are missing, unreadable, corrupt, or too few."""


class MachineUnavailable(GanLibError):  # noqa: N818, it is a state of the world and no error
    """This machine lacks what the configuration needs. The run is not started, and never moved to another device."""


class RecordError(GanLibError):
    """A run folder that cannot be written, does not exist, or does not hold what it should."""


class TrainingError(GanLibError):
    """Training that cannot continue: a loss that is not finite."""

    exit_code = 1


class ReportError(GanLibError):
    """A report that could not be made."""

    exit_code = 1


class ClusterError(GanLibError):
    """A cluster that began, and went away."""

    exit_code = 1


class CloudError(GanLibError):
    """AWS cannot do what was asked for, and the user can mend it: credentials, rights, quotas, a stack that is not there."""


class ServiceError(CloudError):
    """AWS began and failed, or does not answer."""

    exit_code = 1

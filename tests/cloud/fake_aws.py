"""AWS on loopback: moto in server mode, with what it leaves out added, and with trouble on request.

moto 5.2 falls short in places that matter here, so this process extends it:
- it refuses ml.g4dn.xlarge for notebook instances (its list of types is written out and old): the types that botocore's own
  model of the service names are taken instead;
- its CloudFormation keeps only type and role of a notebook instance, drops `AWS::NoValue` from mappings but not from lists,
  knows no bucket policy, and does not make what an update's changed condition adds: done here (the policy aside), with a
  rollback and its events when a resource is refused;
- its instances are in service or stopped at once, and may be stopped twice: here they are Pending and Stopping for a moment,
  and what the service refuses (to stop what is not in service, to start what is not stopped) is refused;
- its training jobs are completed at once: here they stay InProgress until they are stopped.
None of this proves what the real service does; it is what its documentation says.
"""

import http.client
import io
import json
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import botocore.session
from moto.cloudformation import models as cloudformation
from moto.cloudformation import parsing
from moto.core.exceptions import JsonRESTError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sagemaker import models as sagemaker
from werkzeug.serving import WSGIRequestHandler, make_server

MOMENT = 0.25  # seconds that a start, a stop or a stack's change takes
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE12", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": "us-east-1"}
_ACCOUNT = "123456789012"  # moto's only one
REFUSED: dict[str, str] = {}  # instance name: why the service cannot make or start it
_TYPES = botocore.session.get_session().get_service_model("sagemaker").shape_for("InstanceType").enum


def _validation(message: str) -> JsonRESTError:
    error = JsonRESTError("ValidationException", message)
    error.code = 400
    return error


class Instance(sagemaker.FakeSagemakerNotebookInstance):
    """A notebook instance that takes a moment."""

    def __init__(self, **values: Any) -> None:
        self._until, self._then = 0.0, ""
        self.failure_reason = ""
        super().__init__(**values)

    def validate_instance_type(self, instance_type: str) -> None:
        assert instance_type in _TYPES

    @property
    def status(self) -> str:
        if self._then and time.monotonic() > self._until:
            self._status, self._then = self._then, ""
        return self._status

    @status.setter
    def status(self, value: str) -> None:
        self._status = value

    def _become(self, first: str, then: str) -> None:
        self._status, self._then, self._until = first, then, time.monotonic() + MOMENT
        self.last_modified_time = sagemaker.utcnow()

    def start(self) -> None:
        if self.status not in ("Stopped", "Failed") and (self._then or self._status != "Pending"):
            raise _validation(f"Status ({self.status}) not in ([Stopped, Failed]). Unable to transition to (Pending)")
        reason = REFUSED.get(self.notebook_instance_name)
        self.failure_reason = reason or ""
        self._become("Pending", "Failed" if reason else "InService")

    def stop(self) -> None:
        if self.status != "InService":
            raise _validation(f"Status ({self.status}) not in ([InService]). Unable to transition to (Stopping)")
        self._become("Stopping", "Stopped")

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "FailureReason": self.failure_reason or None}

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> "Instance":
        given = cloudformation_json["Properties"]
        name = given["NotebookInstanceName"]
        if reason := REFUSED.get(name):
            raise RuntimeError(reason)
        made: Instance = sagemaker.sagemaker_backends[account_id][region_name].create_notebook_instance(
            notebook_instance_name=name,
            instance_type=given["InstanceType"],
            role_arn=given["RoleArn"],
            lifecycle_config_name=given["LifecycleConfigName"],
            volume_size_in_gb=int(given["VolumeSizeInGB"]),
            root_access=given["RootAccess"],
            direct_internet_access=given["DirectInternetAccess"],
            tags=given["Tags"],
        )
        return made

    @classmethod
    def delete_from_cloudformation_json(  # type: ignore[override]
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """As the service does: stop, then delete."""
        sagemaker.sagemaker_backends[account_id][region_name].notebook_instances.pop(resource_name.split("/")[-1], None)


class Stack(cloudformation.Stack):
    """A stack that takes a moment, makes what a changed condition adds, and rolls back."""

    _until = 0.0

    def _parse_template(self) -> None:
        super()._parse_template()
        self.template_dict["Resources"].pop("BucketPolicy", None)  # moto knows none in CloudFormation, and warns

    @property
    def status(self) -> str:
        if time.monotonic() < self._until:
            return f"{self._action}_IN_PROGRESS"
        return self._status

    @status.setter
    def status(self, value: str) -> None:
        self._status = value
        if value.endswith("_COMPLETE") and not value.startswith("DELETE"):
            self._action, self._until = value.split("_")[0], time.monotonic() + MOMENT

    def update(self, template: str, role_arn: Any = None, parameters: Any = None, tags: Any = None) -> None:
        self._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
        resources = self.resource_map
        before, old = dict(resources.input_parameters), set(resources._parsed_resources)
        self._load({**before, **parameters})
        try:
            for name in resources.resources:
                if name not in resources._parsed_resources:
                    _ = resources[name]  # made when first asked for, unless its condition says no
        except RuntimeError as error:
            self._resource_event(name, "CREATE_FAILED", str(error))
            for made in set(resources._parsed_resources) - old:
                resources._delete_resource(resources._parsed_resources.pop(made), resources._resource_json_map[made])
            self._load(before)
            self._add_stack_event("UPDATE_ROLLBACK_COMPLETE")
            self.status = "UPDATE_ROLLBACK_COMPLETE"
            return
        if before.get("MaxHours") != resources.input_parameters.get("MaxHours"):
            name, where = "LifecycleConfig", {"account_id": self.account_id, "region_name": self.region_name}
            changed = parsing.parse_and_update_resource(name, resources._resource_json_map[name], resources, **where)
            resources._parsed_resources[name] = changed
        self.output_map = cloudformation.OutputMap(resources, self.template_dict, self.stack_id)
        self.parameters = dict(resources.input_parameters)
        self._add_stack_event("UPDATE_COMPLETE")
        self.status = "UPDATE_COMPLETE"

    def delete(self) -> None:
        super().delete()
        self.resource_map._resource_json_map = {}  # or listing them would make them again

    def _load(self, parameters: dict[str, Any]) -> None:
        self.resource_map.input_parameters = parameters
        self.resource_map.load_parameters()
        self.resource_map.load_conditions()

    def _resource_event(self, name: str, status: str, reason: str) -> None:
        kind, nothing = "AWS::SageMaker::NotebookInstance", None
        self.events.append(cloudformation.Event(self.stack_id, self.name, name, "", kind, status, reason, nothing))


class Job(sagemaker.FakeTrainingJob):
    """A training job that runs until it is stopped."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.training_job_status = self.secondary_status = "InProgress"


def _extend_moto() -> Callable[[], None]:
    """Put all of the above into moto; returns what takes it out again."""
    clean = parsing.clean_json

    def clean_lists_too(value: Any, resources: Any) -> Any:
        cleaned = clean(value, resources)
        return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned

    class_of_type = parsing.resource_class_from_type

    def class_of(resource_type: str) -> Any:
        return Instance if resource_type == Instance.cloudformation_type() else class_of_type(resource_type)

    def previous_too(self: Any, instance: Any, incoming_params: list[dict[str, Any]]) -> dict[str, str]:
        return {
            item["ParameterKey"]: str(item.get("ParameterValue") or instance.stack_parameters[item["ParameterKey"]])
            for item in incoming_params
        }

    def stop_training_job(self: Any, training_job_name: str) -> None:
        self.training_jobs[training_job_name].training_job_status = "Stopped"

    def answer_stop(self: Any) -> str:
        self.sagemaker_backend.stop_training_job(self._get_param("TrainingJobName"))
        return "{}"

    from moto.sagemaker.responses import SageMakerResponse

    changes: list[tuple[Any, str, Any]] = [
        (parsing, "clean_json", clean_lists_too),
        (cloudformation.CloudFormationBackend, "_resolve_update_parameters", previous_too),
        (cloudformation, "Stack", Stack),
        (parsing, "resource_class_from_type", class_of),
        (sagemaker, "FakeSagemakerNotebookInstance", Instance),
        (sagemaker, "FakeTrainingJob", Job),
        (sagemaker.SageMakerModelBackend, "stop_training_job", stop_training_job),
        (SageMakerResponse, "stop_training_job", answer_stop),
    ]
    old = [(owner, name, getattr(owner, name, None)) for owner, name, _ in changes]
    for owner, name, new in changes:
        setattr(owner, name, new)

    def undo() -> None:
        for owner, name, value in old:
            delattr(owner, name) if value is None else setattr(owner, name, value)

    return undo


@dataclass
class Hold:
    """A request that is kept waiting. `reached` is set when it has come; setting `released` lets it continue."""

    pattern: str
    after: bool  # AWS has done it, only its answer waits
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        self.reached.set()
        self.released.wait(30)


@dataclass
class Failure:
    """An answer that is given instead of AWS's."""

    pattern: str
    code: str
    message: str
    status: int
    times: int = 1


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None:
        pass


class FakeAws:
    """The server, and the log of what it was asked."""

    def __init__(self) -> None:
        self._undo = _extend_moto()
        self._moto = DomainDispatcherApplication(_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.requests: list[str] = []
        self.broken: list[str] = []
        self.bucket_owner = _ACCOUNT
        self.refused: list[str] = []  # requests that expected another owner of their bucket
        self._holds: list[Hold] = []
        self._failures: list[Failure] = []
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._undo()

    def reset(self) -> None:
        """An empty account."""
        self.release()
        REFUSED.clear()
        self._failures = []
        connection = http.client.HTTPConnection("127.0.0.1", self._server.server_port)
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == 200
        connection.close()
        self.requests, self.broken, self.refused = [], [], []
        self.bucket_owner = _ACCOUNT

    def hold(self, pattern: str, after: bool) -> Hold:
        """Keep the first request that matches waiting."""
        self._holds.append(Hold(pattern, after))
        return self._holds[-1]

    def release(self) -> None:
        """Let every request continue."""
        for hold in self._holds:
            hold.released.set()
        self._holds = []

    def fail(self, pattern: str, code: str, message: str = "because", status: int = 400, times: int = 10**6) -> None:
        """Answer the next requests that match with an error."""
        self._failures.append(Failure(pattern, code, message, status, times))

    def add_event(self, resource: str, status: str, reason: str) -> None:
        """The newest event of the only stack."""
        (stack,) = cloudformation.cloudformation_backends[_ACCOUNT]["us-east-1"].stacks.values()
        stack._resource_event(resource, status, reason)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        what = _operation(environ)
        self.requests.append(what)
        hold = next((hold for hold in self._holds if re.search(hold.pattern, what) and not hold.reached.is_set()), None)
        if hold and not hold.after:
            hold.wait()
        for failure in self._failures:
            if failure.times > 0 and re.search(failure.pattern, what):
                failure.times -= 1
                return _error(environ, start_response, failure)
        if environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", self.bucket_owner) != self.bucket_owner:
            self.refused.append(what)
            return _error(environ, start_response, Failure("", "AccessDenied", "Access Denied", 403))
        try:
            body = list(self._moto(environ, start_response))
        except Exception as error:  # of moto itself, or of what is added to it
            self.broken.append(f"{what}: {''.join(traceback.format_exception(error))}")
            return _error(environ, start_response, Failure("", "FakeAwsIsBroken", str(error), 400))
        if hold and hold.after:
            hold.wait()
        return body


def _operation(environ: dict[str, Any]) -> str:
    """ "StartNotebookInstance", "UpdateStack", "PUT /bucket/key"."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).split(".")[-1]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        return parse_qs(body.decode())["Action"][0]
    return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def _app(service: str) -> Any:
    """Errors of moto itself go to the test, not into an answer that makes the SDK try again and again."""
    app = create_backend_app(service)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _error(environ: dict[str, Any], start_response: Callable[..., Any], failure: Failure) -> Iterable[bytes]:
    # the whole request is read first: answered early, a client that is still sending sees a broken connection and tries again
    environ["wsgi.input"].read(*([] if environ.get("wsgi.input_terminated") else [int(environ.get("CONTENT_LENGTH") or 0)]))
    if environ.get("HTTP_X_AMZ_TARGET"):
        kind, text = "application/x-amz-json-1.1", json.dumps({"__type": failure.code, "message": failure.message})
    else:
        inner = f"<Code>{failure.code}</Code><Message>{failure.message}</Message>"
        query = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
        kind = "text/xml"
        text = f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>" if query else f"<Error>{inner}</Error>"
    start_response(f"{failure.status} Error", [("Content-Type", kind)])
    return [text.encode()]

"""The CloudFormation stack: its values against botocore's own model of SageMaker, its scripts against the files."""

import functools
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .sandbox import LIFECYCLE, Sandbox

yaml = pytest.importorskip("yaml")
botocore_session = pytest.importorskip("botocore.session")

STACK = LIFECYCLE / "stack.yaml"


@functools.cache
def template() -> dict[str, Any]:
    """The template with each tag as a mapping of one key: !Ref x is {"Ref": "x"}."""

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined]
        pass

    def construct(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        return {suffix: value}

    Loader.add_multi_constructor("!", construct)
    loaded: dict[str, Any] = yaml.load(STACK.read_text(), Loader=Loader)
    return loaded


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"][name]["Properties"]
    return found


@functools.cache
def model(shape: str) -> Any:
    return botocore_session.get_session().get_service_model("sagemaker").shape_for(shape)


def default(parameter: str) -> Any:
    return template()["Parameters"][parameter]["Default"]


@pytest.mark.parametrize(("name", "kind"), [("CpuInstance", "ml.c5.2xlarge"), ("GpuInstance", "ml.g4dn.xlarge")])
def test_an_instance_has_the_papers_type_and_settings_that_sagemaker_knows(name: str, kind: str) -> None:
    instance, nothing = properties(name), {"Ref": "AWS::NoValue"}
    assert default(instance["InstanceType"]["Ref"]) == kind and kind in model("InstanceType").enum
    assert instance["NotebookInstanceName"] == {"Sub": f"${{NamePrefix}}-{name[:3].lower()}"}
    assert instance["RootAccess"] == "Disabled" and "Disabled" in model("RootAccess").enum
    assert instance["DirectInternetAccess"] == {"If": ["InSubnet", "Disabled", "Enabled"]}
    assert instance["PlatformIdentifier"] == {"Ref": "PlatformIdentifier"}
    assert instance["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    assert instance["SubnetId"] == {"If": ["InSubnet", {"Ref": "SubnetId"}, nothing]}
    assert instance["SecurityGroupIds"] == {"If": ["InSubnet", {"Split": [",", {"Ref": "SecurityGroupIds"}]}, nothing]}
    assert instance["KmsKeyId"] == {"If": ["WithKey", {"Ref": "KmsKeyArn"}, nothing]}
    for resource in name, name.replace("Instance", "Role"), "Bucket":
        assert {tag["Key"] for tag in properties(resource)["Tags"]} == {"project", "stack"}, resource


def test_the_parameters_stay_within_the_services_limits_and_their_quotes() -> None:
    parameters, names = template()["Parameters"], model("NotebookInstanceName").metadata
    assert default("PlatformIdentifier") == "notebook-al2023-v1"
    for platform in "notebook-al2023-v1", "notebook-al2023-v2":
        assert re.fullmatch(model("PlatformIdentifier").metadata["pattern"], platform)
        assert re.fullmatch(parameters["PlatformIdentifier"]["AllowedPattern"], platform)
    volume, limits = parameters["VolumeSizeInGB"], model("NotebookInstanceVolumeSizeInGB").metadata
    assert max(30, limits["min"]) <= volume["MinValue"] <= volume["Default"] <= volume["MaxValue"] <= limits["max"]
    assert parameters["NamePrefix"]["MaxLength"] + len("-cpu") <= names["max"]
    assert re.fullmatch(names["pattern"], default("NamePrefix") + "-cpu")
    for name in ["SubnetId", "SecurityGroupIds", "KmsKeyArn", "PythonIndexUrl", "ProjectGitUrl", "ProjectGitCommit"]:
        assert default(name) == "" and re.fullmatch(parameters[name]["AllowedPattern"], "")
        for value in ["https://a.example/'; id; '", "https://a.example/$(id)", "https://a.example/`id`", "x\ny"]:
            assert not re.fullmatch(parameters[name]["AllowedPattern"], value)


@pytest.mark.parametrize("machine", ["cpu", "gpu"])
def test_a_role_trusts_sagemaker_of_this_account_and_stops_only_itself(machine: str) -> None:
    role = properties(f"{machine.capitalize()}Role")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["sagemaker:StopNotebookInstance", "sagemaker:DescribeNotebookInstance"]
    assert statement["Resource"]["Sub"].endswith(f":notebook-instance/${{NamePrefix}}-{machine}")
    assert len(role["Policies"]) == 1 and role["ManagedPolicyArns"] == [{"Ref": "SharedPolicy"}]


def test_the_shared_policy_is_the_least() -> None:
    assert "FullAccess" not in STACK.read_text()
    bucket, listing, logs, key, interfaces, describe = properties("SharedPolicy")["PolicyDocument"]["Statement"]
    assert bucket["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert bucket["Resource"] == {"Sub": "${Bucket.Arn}/gan-lib/*"}
    assert listing["Action"] == "s3:ListBucket"
    ours = {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["gan-lib/*"]}, **ours}
    assert bucket["Condition"] == ours, "a bucket of this name in another account is refused"
    assert all(":log-group:/aws/sagemaker/NotebookInstances" in arn["Sub"] for arn in logs["Resource"])
    assert all(action.startswith("logs:") for action in logs["Action"])
    assert key["If"][0] == "WithKey" and key["If"][1]["Resource"] == {"Ref": "KmsKeyArn"}
    assert interfaces["If"][0] == describe["If"][0] == "InSubnet"
    assert all(action.startswith("ec2:Describe") for action in describe["If"][1]["Action"]), "the only ones on *"


def test_the_bucket_is_closed_encrypted_versioned_and_outlives_the_stack() -> None:
    resource = template()["Resources"]["Bucket"]
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    found = properties("Bucket")
    assert all(found["PublicAccessBlockConfiguration"].values()) and len(found["PublicAccessBlockConfiguration"]) == 4
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    (policy,) = properties("BucketPolicy")["PolicyDocument"]["Statement"]
    assert policy["Effect"] == "Deny" and policy["Principal"] == "*" and policy["Action"] == "s3:*"
    assert policy["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def content(hook: str, values: dict[str, str]) -> str:
    """What CloudFormation makes of a hook's Content, before base64."""
    (entry,) = properties("LifecycleConfig")[hook]
    separator, parts = entry["Content"]["Fn::Base64"]["Fn::Join"]
    text = [
        part if isinstance(part, str) else re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], part["Sub"]) for part in parts
    ]
    return str(separator).join(text)


VALUES = {"Bucket": "gan-lib-bucket-1abcdefghijkl", "ProjectGitUrl": "", "ProjectGitCommit": "", "PythonIndexUrl": "",
          "IdleMinutes": "60", "MaxHours": "12"}  # fmt: skip
LONGEST = {"Bucket": "b" * 63, "ProjectGitUrl": "u" * 160, "ProjectGitCommit": "c" * 40, "PythonIndexUrl": "i" * 160,
           "IdleMinutes": "1440", "MaxHours": "168"}  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize(("hook", "script"), [("OnCreate", "on-create"), ("OnStart", "on-start")])
def test_the_stack_carries_the_scripts_as_they_are_and_they_fit(hook: str, script: str) -> None:
    """16,384 base64 characters are 12,288 bytes; 51,200 bytes is the limit of a template that is not in a bucket."""
    text, embed = STACK.read_text(), runpy.run_path(str(LIFECYCLE / "embed.py"))
    assert embed["render"](text) == text, "run: python lifecycle/embed.py"
    code = [line for line in (LIFECYCLE / f"{script}.sh").read_text().splitlines() if not line.lstrip().startswith("#")]
    assert content(hook, VALUES).endswith("\n".join(code) + "\n")
    assert len(text.encode()) <= 51_200 and len(content(hook, LONGEST).encode()) <= 12_288
    assert not re.search(r"^\s*[\w-]+: [&*]\w", text, re.M), "CloudFormation takes no YAML aliases"
    for name, value in LONGEST.items():
        limits = template()["Parameters"].get(name, {"MaxLength": 63})
        assert len(value) == limits.get("MaxLength", len(str(limits.get("MaxValue", "c" * 40)))), name


def test_the_stacks_scripts_run(empty: Sandbox, tmp_path: Path) -> None:
    """Its own settings reach them: the archive in its bucket, and the hours."""
    for hook in "OnCreate", "OnStart":
        script = tmp_path / hook
        script.write_text(content(hook, {**VALUES, "MaxHours": "7"}))
        assert empty.hook(hook, script).returncode == 0
    empty.wait()
    archive = f"s3://{VALUES['Bucket']}/gan-lib/gan-lib.tar.gz"
    assert any(f"{archive}.sha256" in call for call in empty.arguments("aws"))
    assert (empty.bucket / VALUES["Bucket"] / "gan-lib/gan-lib-gpu/status.txt").read_text() == empty.status()
    assert 'MAX_HOURS="7"' in (empty.root / "usr/local/sbin/gan-lib-auto-stop").read_text()


def test_cfn_lint_is_clean() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    if not program.exists():
        pytest.skip("cfn-lint is not installed")
    done = subprocess.run([str(program), str(STACK)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_role_for_jobs_is_there_on_request_only_and_the_least() -> None:
    assert default("Jobs") == "no"
    assert template()["Resources"]["JobRole"]["Condition"] == "WithJobs"
    (trust,) = properties("JobRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (policy,) = properties("JobRole")["Policies"]
    everywhere = [item for item in policy["PolicyDocument"]["Statement"] if item.get("Resource") == "*"]
    assert [item["Action"] for item in everywhere] == ["ecr:GetAuthorizationToken"], "the only one that takes no resource"
    for item in policy["PolicyDocument"]["Statement"][:2]:
        resources = item["Resource"] if isinstance(item["Resource"], list) else [item["Resource"]]
        assert all("/gan-lib/jobs/" in resource["Sub"] for resource in resources)

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


INSTANCES = ["CpuInstance", "GpuInstance"]
every_instance = pytest.mark.parametrize("name", INSTANCES)


@every_instance
def test_the_instance_types_are_those_of_table_1_and_exist(name: str) -> None:
    parameter = properties(name)["InstanceType"]["Ref"]
    assert default(parameter) == {"CpuInstance": "ml.c5.2xlarge", "GpuInstance": "ml.g4dn.xlarge"}[name]
    assert default(parameter) in model("InstanceType").enum


@every_instance
def test_the_settings_are_values_that_sagemaker_knows(name: str) -> None:
    found = properties(name)
    assert found["RootAccess"] == "Disabled"
    assert found["RootAccess"] in model("RootAccess").enum
    assert found["DirectInternetAccess"] == {"If": ["InSubnet", "Disabled", "Enabled"]}
    assert set(found["DirectInternetAccess"]["If"][1:]) == set(model("DirectInternetAccess").enum)
    assert found["PlatformIdentifier"] == {"Ref": "PlatformIdentifier"}
    assert default("PlatformIdentifier") == "notebook-al2023-v1"
    for platform in default("PlatformIdentifier"), "notebook-al2023-v2":
        assert re.fullmatch(model("PlatformIdentifier").metadata["pattern"], platform)
        assert re.fullmatch(template()["Parameters"]["PlatformIdentifier"]["AllowedPattern"], platform)
    metadata_service = found["InstanceMetadataServiceConfiguration"]["MinimumInstanceMetadataServiceVersion"]
    assert metadata_service == "2"
    assert re.fullmatch(model("MinimumInstanceMetadataServiceVersion").metadata["pattern"], metadata_service)


@every_instance
def test_every_property_is_one_of_the_request(name: str) -> None:
    members = model("CreateNotebookInstanceInput").members.keys()
    assert properties(name).keys() <= members
    assert set(model("CreateNotebookInstanceInput").required_members) <= properties(name).keys()


def test_the_volume_is_at_least_30_gb() -> None:
    parameter = template()["Parameters"]["VolumeSizeInGB"]
    limits = model("NotebookInstanceVolumeSizeInGB").metadata
    assert 30 <= parameter["MinValue"] <= parameter["Default"] <= parameter["MaxValue"] <= limits["max"]
    assert limits["min"] <= parameter["MinValue"]


def test_the_names_fit() -> None:
    parameter = template()["Parameters"]["NamePrefix"]
    limits = model("NotebookInstanceName").metadata
    assert parameter["MaxLength"] + len("-cpu") <= limits["max"]
    assert re.fullmatch(limits["pattern"], default("NamePrefix") + "-cpu")
    for name, ending in zip(INSTANCES, ["cpu", "gpu"], strict=True):
        assert properties(name)["NotebookInstanceName"] == {"Sub": f"${{NamePrefix}}-{ending}"}


@every_instance
def test_a_role_trusts_sagemaker_of_this_account_and_stops_only_itself(name: str) -> None:
    role = properties(name.replace("Instance", "Role"))
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["sagemaker:StopNotebookInstance", "sagemaker:DescribeNotebookInstance"]
    assert statement["Resource"]["Sub"].endswith(":notebook-instance/${NamePrefix}-" + name[:3].lower())
    assert role["ManagedPolicyArns"] == [{"Ref": "SharedPolicy"}]


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


def test_everything_that_can_have_tags_has_them() -> None:
    for name in ["Bucket", "CpuRole", "GpuRole", *INSTANCES]:
        assert {tag["Key"] for tag in properties(name)["Tags"]} == {"project", "stack"}, name


@every_instance
def test_hardening_is_optional_and_complete(name: str) -> None:
    found = properties(name)
    nothing = {"Ref": "AWS::NoValue"}
    assert found["SubnetId"] == {"If": ["InSubnet", {"Ref": "SubnetId"}, nothing]}
    assert found["SecurityGroupIds"] == {"If": ["InSubnet", {"Split": [",", {"Ref": "SecurityGroupIds"}]}, nothing]}
    assert found["KmsKeyId"] == {"If": ["WithKey", {"Ref": "KmsKeyArn"}, nothing]}
    for parameter in ["SubnetId", "SecurityGroupIds", "KmsKeyArn", "PythonIndexUrl", "ProjectGitUrl"]:
        assert default(parameter) == ""
        assert re.fullmatch(template()["Parameters"][parameter]["AllowedPattern"], "")


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
every_hook = pytest.mark.parametrize(("hook", "script"), [("OnCreate", "on-create"), ("OnStart", "on-start")])


@every_hook
def test_a_script_with_the_stacks_settings_fits(hook: str, script: str) -> None:
    assert len(content(hook, LONGEST).encode()) <= 12_288
    for name, value in LONGEST.items():
        limits = template()["Parameters"].get(name, {"MaxLength": 63})
        assert len(value) == limits.get("MaxLength", len(str(limits.get("MaxValue", "c" * 40)))), name


@every_hook
def test_the_stack_carries_the_scripts_as_they_are(hook: str, script: str) -> None:
    embed = runpy.run_path(str(LIFECYCLE / "embed.py"))
    assert embed["render"](STACK.read_text()) == STACK.read_text(), "run: python lifecycle/embed.py"
    code = [line for line in (LIFECYCLE / f"{script}.sh").read_text().splitlines() if not line.lstrip().startswith("#")]
    assert content(hook, VALUES).endswith("\n".join(code) + "\n")


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


def test_parameters_cannot_leave_their_quotes() -> None:
    for name in ["ProjectGitUrl", "ProjectGitCommit", "PythonIndexUrl"]:
        pattern = template()["Parameters"][name]["AllowedPattern"]
        for value in [
            "https://a.example/'; id; '",
            "https://a.example/$(id)",
            "https://a.example/`id`",
            "x\ny",
        ]:
            assert not re.fullmatch(pattern, value)


def test_the_template_can_be_given_directly() -> None:
    """51,200 bytes is the limit of a template that is not in a bucket."""
    assert len(STACK.read_bytes()) <= 51_200
    assert not re.search(r"^\s*[\w-]+: [&*]\w", STACK.read_text(), re.M), "CloudFormation takes no YAML aliases"


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

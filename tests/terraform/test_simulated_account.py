"""The environment dev in a simulated account: made, looked at, planned again, taken down."""

from collections.abc import Callable
from typing import Any

import pytest

from terraform.commands import contract, helm_values
from tests.terraform.conftest import Dev
from tests.terraform.runner import ACCOUNT
from tests.terraform.simulation import IS_SLOW, SimulatedAccount

NAME = "dormouse-dev"
BUCKET = f"{NAME}-documents-{ACCOUNT}"


@pytest.fixture
async def made(dev: Dev) -> Dev:
    """dev, applied."""
    assert "Apply complete!" in await dev.applied
    return dev


async def test_the_cluster_and_its_pools_are_there(made: Dev, account: SimulatedAccount) -> None:
    cluster = await account.ask("eks", lambda eks: eks.describe_cluster(name=NAME)["cluster"])
    assert cluster["status"] == "ACTIVE"
    assert cluster["encryptionConfig"][0]["resources"] == ["secrets"]
    names = await account.ask("eks", lambda eks: eks.list_nodegroups(clusterName=NAME)["nodegroups"])
    assert sorted(names) == ["general-on-demand", "general-spot", "gpu-spot"]


async def test_the_gpu_pool_is_asleep_and_guarded(made: Dev, account: SimulatedAccount) -> None:
    group = await account.ask(
        "eks", lambda eks: eks.describe_nodegroup(clusterName=NAME, nodegroupName="gpu-spot")["nodegroup"]
    )
    assert (group["scalingConfig"]["minSize"], group["scalingConfig"]["desiredSize"]) == (0, 0)
    assert group["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert group["amiType"] == "AL2023_x86_64_NVIDIA"
    assert group["capacityType"] == "SPOT"


async def test_the_network_has_three_zones_and_one_way_out(made: Dev, account: SimulatedAccount) -> None:
    own = [{"Name": "tag:environment", "Values": ["dev"]}]
    subnets = await account.ask("ec2", lambda ec2: ec2.describe_subnets(Filters=own)["Subnets"])
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 3
    assert len(subnets) == 6
    gateways = await account.ask("ec2", lambda ec2: ec2.describe_nat_gateways(Filters=own)["NatGateways"])
    assert [gateway["State"] for gateway in gateways] == ["available"]


async def test_documents_are_encrypted_versioned_and_closed(made: Dev, account: SimulatedAccount) -> None:
    def look(s3: Any) -> tuple[Any, Any, Any]:
        return (
            s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0],
            s3.get_bucket_versioning(Bucket=BUCKET)["Status"],
            s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"],
        )

    rule, versioning, block = await account.ask("s3", look)
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert versioning == "Enabled"
    assert all(block.values())


async def test_images_are_scanned_and_keep_their_tags(made: Dev, account: SimulatedAccount) -> None:
    repositories = await account.ask("ecr", lambda ecr: ecr.describe_repositories()["repositories"])
    assert f"{NAME}/dormouse-agent-fn" in {repository["repositoryName"] for repository in repositories}
    assert all(repository["imageScanningConfiguration"]["scanOnPush"] for repository in repositories)
    assert all(repository["imageTagMutability"] == "IMMUTABLE" for repository in repositories)


async def test_roles_have_the_rights_that_they_use(made: Dev, account: SimulatedAccount) -> None:
    policy = await account.ask(
        "iam", lambda iam: iam.get_role_policy(RoleName=f"{NAME}-edge", PolicyName="edge")["PolicyDocument"]
    )
    assert policy["Statement"][0]["Resource"] == [f"arn:aws:s3:::{BUCKET}/originals/*"]


@pytest.mark.skipif(not IS_SLOW, reason="the provider waits four minutes for RDS; DORMOUSE_TF_SLOW=1 has the time")
async def test_the_database_is_encrypted_and_private(made: Dev, account: SimulatedAccount) -> None:
    [instance] = await account.ask("rds", lambda rds: rds.describe_db_instances()["DBInstances"])
    assert instance["StorageEncrypted"]
    assert not instance["PubliclyAccessible"]
    assert instance["MasterUserSecret"]["SecretArn"]


async def _drawn(account: SimulatedAccount) -> dict[str, str]:
    def read(manager: Any) -> dict[str, str]:
        names = ("redis-password", "postgres-application-password")
        return {name: manager.get_secret_value(SecretId=f"{NAME}/{name}")["SecretString"] for name in names}

    values: dict[str, str] = await account.ask("secretsmanager", read)
    return values


async def test_drawn_secrets_are_long_and_only_valkeys_is_in_the_state(made: Dev, account: SimulatedAccount) -> None:
    values = await _drawn(account)
    assert {len(value) for value in values.values()} == {48}
    state = (made.environment.folder / "terraform.tfstate").read_text()
    assert {name for name, value in values.items() if value in state} == {"redis-password"}


async def test_a_second_apply_has_nothing_to_do(made: Dev, account: SimulatedAccount) -> None:
    before = await _drawn(account)
    assert await made.environment.plan_again() == 0
    assert await _drawn(account) == before


async def test_the_outputs_keep_the_contract_and_become_values(made: Dev) -> None:
    platform = contract.decode(await made.environment.platform())
    assert platform.environment == "dev"
    values = helm_values.values(platform)
    assert values["files"]["place"] == f"s3://{BUCKET}/originals"
    assert values["image"]["registry"].endswith(f".amazonaws.com/{NAME}")


def _ours(things: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [thing for thing in things if NAME in thing[name]]


async def test_a_destroy_leaves_nothing(made: Dev, account: SimulatedAccount) -> None:
    assert "Destroy complete!" in await made.environment.destroy()
    print({step: f"{seconds:.0f} s" for step, seconds in made.environment.seconds.items()})
    left: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "clusters": ("eks", lambda eks: eks.list_clusters()["clusters"]),
        "buckets": ("s3", lambda s3: [b for b in s3.list_buckets()["Buckets"] if b["Name"].startswith(NAME)]),
        "repositories": ("ecr", lambda ecr: ecr.describe_repositories()["repositories"]),
        "secrets": ("secretsmanager", lambda manager: manager.list_secrets()["SecretList"]),
        "databases": ("rds", lambda rds: rds.describe_db_instances()["DBInstances"]),
        "zones": ("route53", lambda route53: route53.list_hosted_zones()["HostedZones"]),
        "certificates": ("acm", lambda acm: acm.list_certificates()["CertificateSummaryList"]),
        "logs": ("logs", lambda logs: logs.describe_log_groups()["logGroups"]),
        "roles": ("iam", lambda iam: _ours(iam.list_roles()["Roles"], "RoleName")),
        "keys": ("kms", lambda kms: [a for a in kms.list_aliases()["Aliases"] if NAME in a["AliasName"]]),
        "networks": ("ec2", lambda ec2: [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]),
    }
    answers = {what: await account.ask(*question) for what, question in left.items()}
    assert answers == {what: [] for what in left}

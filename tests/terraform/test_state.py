"""The bucket that the bootstrap makes, as the backend of a state."""

from pathlib import Path

from tests.terraform.conftest import Dev
from tests.terraform.runner import ACCOUNT
from tests.terraform.simulation import SimulatedAccount

BUCKET = f"dormouse-terraform-{ACCOUNT}"
KEY = "environments/trial.tfstate"
ROOT = f"""
terraform {{
  backend "s3" {{
    key                         = "{KEY}"
    use_path_style              = true
    skip_requesting_account_id  = true
    skip_credentials_validation = true
  }}
}}

output "asleep" {{
  value = true
}}
"""


async def test_a_state_is_kept_encrypted_and_locked(dev: Dev, account: SimulatedAccount, tmp_path: Path) -> None:
    terraform = dev.environment.terraform
    bootstrap = await dev.bootstrapped
    told = await terraform("output", "-raw", "backend", cwd=bootstrap)
    (tmp_path / "backend.hcl").write_text(told.output)
    (tmp_path / "main.tf").write_text(ROOT)
    await terraform("init", "-backend-config=backend.hcl", cwd=tmp_path)
    await terraform("apply", "-auto-approve", cwd=tmp_path)

    state = await account.ask("s3", lambda s3: s3.head_object(Bucket=BUCKET, Key=KEY))
    assert state["ServerSideEncryption"] == "aws:kms"
    # Somebody else is at work: their lock lies beside the state.
    await account.ask("s3", lambda s3: s3.put_object(Bucket=BUCKET, Key=f"{KEY}.tflock", Body=b'{"ID": "theirs"}'))
    refused = await terraform("apply", "-auto-approve", "-lock-timeout=0s", cwd=tmp_path, expect=(1,))
    assert "Error acquiring the state lock" in refused.output
    await account.ask("s3", lambda s3: s3.delete_object(Bucket=BUCKET, Key=f"{KEY}.tflock"))
    await terraform("apply", "-auto-approve", cwd=tmp_path)

"""``sparkdl-bench deploy``: the commands that run experiments on clusters.

Each command imports its dependencies inside its own function.
"""

from data.command_line import application
from deploy import compose_cli, submit_cli
from deploy.aws import iam_cli
from deploy.aws.emr import cli as emr_cli
from deploy.aws.lambda_ import cli as lambda_cli
from deploy.aws.sagemaker import cli as sagemaker_cli
from deploy.java_archive import java_archive
from deploy.local_cluster import app as cluster
from deploy.pack import pack

app = application("Run experiments on clusters.")
app.command("emr")(emr_cli.emr)
app.add_typer(sagemaker_cli.app, name="sagemaker")
app.command("lambda")(lambda_cli.lambda_)
app.command("iam")(iam_cli.iam)
app.command("env")(compose_cli.env)
app.command("bucket")(compose_cli.bucket)
app.add_typer(submit_cli.app, name="submit")
app.command("pack")(pack)
app.command("java-archive")(java_archive)
app.add_typer(cluster, name="cluster")

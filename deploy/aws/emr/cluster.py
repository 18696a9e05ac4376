"""A run on EMR: the requests that create a cluster, run on it and download the record."""

from pathlib import Path

from pydantic import Field

from deploy.aws import prices, storage
from deploy.aws.emr import size as emr_size
from deploy.aws.job import TAG, JobOptions, record_requests, run_arguments, upload
from deploy.aws.plan import Lost, Plan, Request, Until

#: Tag required by AWS's managed policy for the service role.
_MANAGED = "for-use-with-amazon-emr-managed-policies"
#: Hours of the limit reserved for the time before a step can start: machines, Hadoop, environment.
START_HOURS = 0.25
_COMMAND = Path(__file__).with_name("node.sh")
_CLUSTER, _STEP = "<ClusterId>", "<StepId>"


class EmrOptions(JobOptions):
    """Options of a run on a cluster of EMR."""

    instance_type: str = "m5.xlarge"
    #: Machines in addition to the primary one; with 0 the primary one does the work.
    core_nodes: int = Field(default=2, ge=0)
    spot: bool = False
    subnet: str | None = None
    service_role: str = "sparkdl-bench-emr-service"
    instance_profile: str = "sparkdl-bench-job"
    #: Existing cluster to use; it is not terminated.
    cluster: str | None = None
    max_hours: float = Field(default=2.0, gt=START_HOURS)
    price_per_hour: float | None = None

    def price(self) -> prices.Price:
        """Return the price of the cluster; an existing one adds no cost."""
        if self.cluster:
            return prices.Price(0.0, f"{self.cluster} is already running")
        count = 1 + self.core_nodes
        return prices.of_instances(
            "emr", self.instance_type, count, self.region, self.price_per_hour
        )


def plan(options: EmrOptions) -> Plan:
    """Return the requests of a run.

    Raises
    ------
    DeployError
        If the environment archive is missing or the machines cannot hold the executors.
    """
    place = options.place
    if not options.cluster:
        emr_size.check(options.run, options.instance_type, options.core_nodes)
    uploads = upload(options, _COMMAND, "upload the script of the nodes")
    step = _step(options, uploads.program, uploads.environment)
    start = _new_cluster(options, step, uploads.program, uploads.environment)
    names = {"ClusterId": _CLUSTER}
    cancel: tuple[Request, ...] = ()
    end: tuple[Request, ...] = (_terminate(),)
    by_hand = f"aws emr terminate-clusters --region {options.region} --cluster-ids {_CLUSTER}"
    if options.cluster:
        start = _on_cluster(options, step)
        names = {"ClusterId": options.cluster}
        cancel, end = (_cancel(options.cluster), _ended(options.cluster)), ()
        by_hand = (
            f"aws emr cancel-steps --region {options.region} --cluster-id {options.cluster} "
            f"--step-ids {_STEP}"
        )
    return Plan(
        prepare=uploads.requests,
        start=(start,),
        follow=_follow(options.cluster),
        diagnose=Request(
            service="emr",
            operation="DescribeCluster",
            parameters=names,
            purpose="find out why the cluster ended",
        ),
        diagnosis="Cluster.Status.StateChangeReason.Message",
        fetch=record_requests(options),
        cancel=cancel,
        end=end,
        deadline=options.max_hours * 3600,
        logs=f"{place.uri(place.key('logs'))}/ and {options.output / storage.CONSOLE}",
        by_hand=by_hand,
        warnings=uploads.warnings,
    )


def _step(options: EmrOptions, script: str, environment: str) -> dict[str, object]:
    arguments = run_arguments(options, "emr")
    known = prices.machine("emr", options.instance_type)
    if known and not options.run.has_price and not options.cluster:
        one = options.price().by_hour / (1 + options.core_nodes)
        arguments += ["--price-core-hour", f"{one / known.vcpu:.4f}"]
    seconds = round((options.max_hours - (0 if options.cluster else START_HOURS)) * 3600)
    return {
        "Name": _name(options),
        # A cluster that was created for this step is not needed after its failure.
        "ActionOnFailure": "CONTINUE" if options.cluster else "TERMINATE_CLUSTER",
        "HadoopJarStep": {
            "Jar": f"s3://{options.region}.elasticmapreduce/libs/script-runner/script-runner.jar",
            # An existing cluster had no bootstrap action: the step ships the environment itself.
            "Args": [
                script,
                *(["lend", environment] if options.cluster else ["run"]),
                options.place.run_uri,
                options.region,
                str(seconds),
                *arguments,
                "--master",
                "yarn",
            ],
        },
    }


def _new_cluster(
    options: EmrOptions, step: dict[str, object], script: str, environment: str
) -> Request:
    market = "SPOT" if options.spot else "ON_DEMAND"
    groups = [_group("MASTER", "ON_DEMAND", options.instance_type, 1)]
    if options.core_nodes:
        groups.append(_group("CORE", market, options.instance_type, options.core_nodes))
    instances: dict[str, object] = {
        "InstanceGroups": groups,
        "KeepJobFlowAliveWhenNoSteps": False,
        "TerminationProtected": False,
    }
    if options.subnet:
        instances["Ec2SubnetId"] = options.subnet
    return Request(
        service="emr",
        operation="RunJobFlow",
        parameters={
            "Name": _name(options),
            "ReleaseLabel": options.release,
            "Applications": [{"Name": "Spark"}],
            "LogUri": options.place.uri(options.place.key("logs")) + "/",
            "Instances": instances,
            "BootstrapActions": [
                {
                    "Name": "unpack the environment",
                    "ScriptBootstrapAction": {"Path": script, "Args": ["install", environment]},
                }
            ],
            "Steps": [step],
            "ServiceRole": options.service_role,
            "JobFlowRole": options.instance_profile,
            "Tags": [
                {"Key": "project", "Value": TAG},
                {"Key": "run", "Value": options.place.run},
                {"Key": _MANAGED, "Value": "true"},
            ],
        },
        purpose="create a cluster that runs the step and terminates itself",
        keeps={_CLUSTER: "JobFlowId"},
        lost=Lost(
            request=Request(
                service="emr",
                operation="ListClusters",
                parameters={"ClusterStates": ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]},
                purpose="check whether the cluster was created",
            ),
            path="Clusters",
            name=_name(options),
            keeps={_CLUSTER: "Id"},
            by_hand=f"aws emr list-clusters --region {options.region} --active",
        ),
    )


def _name(options: EmrOptions) -> str:
    """Return the name of cluster and step, which is unique because it contains the run's name."""
    return f"sparkdl-bench {options.place.run}"


def _group(role: str, market: str, instance_type: str, count: int) -> dict[str, object]:
    return {
        "InstanceRole": role,
        "Market": market,
        "InstanceType": instance_type,
        "InstanceCount": count,
    }


def _on_cluster(options: EmrOptions, step: dict[str, object]) -> Request:
    cluster = options.cluster
    return Request(
        service="emr",
        operation="AddJobFlowSteps",
        parameters={"JobFlowId": cluster, "Steps": [step]},
        purpose=f"add a step to {cluster}",
        keeps={_STEP: "StepIds.0"},
        lost=Lost(
            request=Request(
                service="emr",
                operation="ListSteps",
                parameters={"ClusterId": cluster, "StepStates": ["PENDING", "RUNNING"]},
                purpose="check whether the step was added",
            ),
            path="Steps",
            name=_name(options),
            keeps={_STEP: "Id"},
            by_hand=f"aws emr list-steps --region {options.region} --cluster-id {cluster}",
        ),
    )


def _follow(cluster: str | None) -> Request:
    # A new cluster has only one step, whose id is not in the response of RunJobFlow.
    which = {"ClusterId": cluster, "StepIds": [_STEP]} if cluster else {"ClusterId": _CLUSTER}
    return Request(
        service="emr",
        operation="ListSteps",
        parameters=which,
        purpose="step",
        until=Until(
            path="Steps.0.Status.State",
            succeeded=("COMPLETED",),
            failed=("FAILED", "CANCELLED", "INTERRUPTED"),
            reasons=(
                "Steps.0.Status.FailureDetails.Message",
                "Steps.0.Status.FailureDetails.Reason",
                "Steps.0.Status.StateChangeReason.Message",
            ),
        ),
    )


def _cancel(cluster: str) -> Request:
    return Request(
        service="emr",
        operation="CancelSteps",
        parameters={
            "ClusterId": cluster,
            "StepIds": [_STEP],
            "StepCancellationOption": "TERMINATE_PROCESS",
        },
        purpose="cancel the step",
    )


def _ended(cluster: str) -> Request:
    """Return the request that waits for the step to end, after which its record is complete."""
    return _follow(cluster).model_copy(update={"purpose": "cancelled step"})


def _terminate() -> Request:
    return Request(
        service="emr",
        operation="TerminateJobFlows",
        parameters={"JobFlowIds": [_CLUSTER]},
        purpose="terminate the cluster, whether the run succeeded or not",
    )

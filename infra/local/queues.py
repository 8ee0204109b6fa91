"""The queues of a work pool: what is taken first where not all runs can be at once."""

from prefect.client.orchestration import SyncPrefectClient

from tasks.core.priority import Priority


def keep_queues(client: SyncPrefectClient, pool: str) -> None:
    """Make a pool's queues in the order in which they are emptied; what there is stays as it is."""
    there = {queue.name for queue in client.read_work_queues(work_pool_name=pool)}
    for place, priority in enumerate(Priority, start=1):
        if priority.value not in there:
            client.create_work_queue(
                priority.value,
                description=f"{priority.value} priority",
                priority=place,
                work_pool_name=pool,
            )

"""The channels that there are. Each is a folder beside this file and a line below; see :mod:`churn_pipeline.delivery.channel`."""

from churn_pipeline.delivery.channel import Channel
from churn_pipeline.delivery.object_store.channel import OBJECT_STORE
from churn_pipeline.delivery.postgres.channel import POSTGRES
from churn_pipeline.delivery.report.channel import REPORT
from churn_pipeline.delivery.webhook.channel import WEBHOOK

CHANNELS: tuple[Channel, ...] = (REPORT, POSTGRES, OBJECT_STORE, WEBHOOK)

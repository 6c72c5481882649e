"""Slack: the digest on Monday, an alert when something is wrong, a note when it is right again.

Here: what is said (``facts``, ``blocks``), how it is kept safe and sent (``outbox``, ``client``), and what the pipeline calls
(``notify``). Not here: when to speak. Whether a run is a backfill, whether drift is worth an alert and when a deadline has passed
is decided by the caller.

What is guaranteed
    *Nothing is lost.* A message lies in HOME/data/outbox, synced to disk, before anything is sent. It waits there
    while Slack is down, rate limits us or does not like the configuration, up to a week; then it is dropped, saying so
    in the log and in its file.

    *Nothing is sent twice, with a bot token that may read the channel's history* (scope ``channels:history``, for a private
    channel ``groups:history``; the channel given by its ID). Slack's chat.postMessage has no idempotency key, so a process that
    dies between sending and noting leaves a question that only Slack can answer. Every message carries its key (as metadata and
    as ``block_id``); an attempt that ended without a usable answer is looked up in the channel before it is made again.

    *With a webhook, or without that scope, at least once.* Nobody can be asked, and a doubled message is a smaller harm than a
    missing alert. The second and third copy say of themselves that they may be repeats, and there is no fourth. It can only
    happen when a process dies, or Slack falls silent, in the moment of sending.

    *A run never fails because of Slack.* Every function of ``notify`` returns what became of the message and raises nothing for
    Slack's sake, for its network's, or for a disk that will not take the outbox.
"""

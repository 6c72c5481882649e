"""Slack: the digest on Monday, an alert when something is wrong, a note when it is right again.

Here: what is said (``facts``, ``blocks``), how it is kept safe and sent (``outbox``, ``client``), and what the pipeline calls
(``notify``). Not here: when to speak. Whether a run is a backfill, whether drift is worth an alert and when a deadline has passed
is decided by the caller.

What is guaranteed
    *Nothing is lost.* A message lies in HOME/data/outbox, synced to disk, before anything is sent. It waits there
    while Slack is down, rate limits us or does not like the configuration, up to a week; then it is dropped, saying so
    in the log and in its file.

    *Hardly anything is sent twice, and a repeat says of itself that it may be one.* Slack's chat.postMessage has no idempotency key, and
    to look for a message in the channel takes a scope that reads everything said there. So an attempt that ended without a usable
    answer, because a process died or Slack fell silent in the moment of sending, is made again: a doubled message is a smaller harm
    than a missing alert. The second and third copy say, in the message and in the log, that they may be repeats; there is no fourth.

    *A run never fails because of Slack.* Every function of ``notify`` returns what became of the message and raises nothing for
    Slack's sake, for its network's, or for a disk that will not take the outbox.
"""

//! The only place that knows glommio and sockets: shards, mailboxes, links, timers, signals.

//! The log of job facts: a core proposes, and acts when the entry comes back committed.

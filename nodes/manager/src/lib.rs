//! The scheduler of one datacenter: splits a job over its workers and adds up what they did.

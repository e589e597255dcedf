//! The front door: accepts jobs, dispatches them to datacenters, adds up what comes back.

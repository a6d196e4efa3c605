//! How floe touches the world: one module per outside system. An effect does what it is told,
//! checks the answer and returns a receipt; it decides nothing.

pub mod abandoned_claims;
pub mod audit;
pub mod audit_log;
pub mod bounded;
pub mod cleanup;
pub mod clock;
pub mod cloud;
pub mod credentials;
pub mod drift;
pub mod events;
pub mod fetch;
pub mod gate_jobs;
pub mod keys;
pub mod lease;
pub mod ledger;
pub mod lock;
pub mod records;
pub mod registry;
pub mod replication;
pub mod requester_policy;
pub mod signatures;

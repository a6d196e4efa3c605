//! What floe decides: plain values in, plain values out. No I/O, no clock, no logging.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod artifact;
pub mod audit;
pub mod audit_log;
pub mod compliance;
pub mod constraint;
pub mod decide;
pub mod decision;
mod digest;
pub mod drift;
pub mod gates;
pub mod graph;
pub mod layout;
pub mod names;
pub mod observed;
pub mod plan;
pub mod policy;
pub mod reasons;
pub mod rebuild;
pub mod record;
pub mod replicas;
pub mod request;
pub mod retention;
pub mod signature;
pub mod status;
pub mod verdict;

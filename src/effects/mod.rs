//! effects
pub mod gate_jobs;

//! floe promotes OCI artifacts through environments: the same digest, gates as Jobs, a record beside the
//! artifact.
//!
//! ```text
//!  Promotion             what the user asked for                    api
//!    | observe           what the watches show                      controllers::observe
//!  Observed              what is true now, plain values             domain::observed
//!    | decide            pure, total                                domain::decide
//!  Decision              stage, actions or what is waited for       domain::decision
//!    | perform           gate Job, tags, record, ledger             controllers::perform -> effects
//!  Receipt               folded into Observed; decide again
//!    | report            status and Events                          controllers::report
//!  Promotion.status
//! ```

pub mod api;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod effects;
pub mod telemetry;

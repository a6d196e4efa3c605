//! What a gate hands back to the operator.

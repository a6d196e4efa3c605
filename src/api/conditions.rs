use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{Schema, SchemaGenerator};

/// Type of a condition. The words are API: scripts wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The request succeeded, or the policy can be used.
    Ready,
    /// Something is still to be done, or waited for.
    Reconciling,
    /// It will not go on without somebody's help.
    Stalled,
    /// The request ended well (True) or failed (False).
    Succeeded,
    /// The source tag was resolved to a digest, and may be promoted.
    SourceVerified,
    /// Every gate that can block has passed on that digest.
    GatesPassed,
    /// `<version>-<suffix>` and `latest-<suffix>` name the digest.
    Promoted,
    /// The record lies beside the artifact.
    Recorded,
    /// Every replica has the artifact and its tags. Absent where the policy lists none.
    Replicated,
    /// The policy makes sense by itself and beside the others.
    Valid,
    /// The tags in the registry name what the ledger says.
    TagsInSync,
}

impl ConditionType {
    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Succeeded => "Succeeded",
            Self::SourceVerified => "SourceVerified",
            Self::GatesPassed => "GatesPassed",
            Self::Promoted => "Promoted",
            Self::Recorded => "Recorded",
            Self::Replicated => "Replicated",
            Self::Valid => "Valid",
            Self::TagsInSync => "TagsInSync",
        }
    }
}

/// The condition of this type, when it is there.
pub fn find(conditions: &[Condition], wanted: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == wanted.as_str())
}

/// Schema of a list of conditions: a map by `type`, so that server-side apply merges single conditions.
pub fn condition_list(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert(
        "x-kubernetes-list-map-keys".into(),
        serde_json::json!(["type"]),
    );
    schema.insert("maxItems".into(), 32.into());
    // The bounds of Kubernetes' own API: metav1.Condition.
    for (field, most) in [
        ("type", 316),
        ("reason", 1024),
        ("message", 32_768),
        ("status", 7),
    ] {
        if let Some(text) = schema.pointer_mut(&format!("/items/properties/{field}"))
            && let Some(text) = text.as_object_mut()
        {
            text.insert("maxLength".to_owned(), most.into());
        }
    }
    schema
}

//! Whether the API server writes down who asks: seen by asking it in another's name, as a rehearsal.

use jiff::{SignedDuration, Timestamp};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};

use crate::api::{Promotion, PromotionSpec, REQUESTER_POLICY};
use crate::domain::observed::Stamp;

/// An admission policy takes about a second to act, on every API server for itself.
const TAKES_EFFECT: SignedDuration = SignedDuration::from_secs(5);
/// A name that nobody has: who asks under it is stamped, or refused.
const FORGED: &str = "floe:forged-by-the-operator-to-see-whether-that-is-possible";
/// Environment of the rehearsal: there is none of this name. The operator may promote there and nowhere else.
const ENVIRONMENT: &str = "floe-probe";

/// Looks whether the policy is there, and whether it acts. An error says that nobody knows.
pub async fn look(client: &Client, namespace: &str) -> kube::Result<Stamp> {
    let since = match installed_at(client).await {
        Ok(Some(at)) => at + TAKES_EFFECT,
        Ok(None) => {
            return Ok(not_in_force(format!(
                "there is no admission policy '{REQUESTER_POLICY}', or no binding of that name"
            )));
        }
        Err(error) => return refused("read the admission policies", error),
    };
    let promotions: Api<Promotion> = Api::namespaced(client.clone(), namespace);
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match promotions.create(&rehearsal, &forged()).await {
        Ok(stored) => Ok(match stored.spec.requested_by.as_deref() {
            Some(FORGED) | None => not_in_force(format!(
                "a Promotion in another's name was accepted as it was (rehearsed in namespace '{namespace}')"
            )),
            Some(_) => Stamp::InForce { since },
        }),
        // Before Kubernetes 1.36 the policy cannot replace the name, and refuses it.
        Err(kube::Error::Api(status)) if status.message.contains(REQUESTER_POLICY) => {
            Ok(Stamp::InForce { since })
        }
        Err(error) => refused("rehearse a Promotion", error),
    }
}

/// When policy and binding were made, the later of both; `None` when one of them is missing.
async fn installed_at(client: &Client) -> kube::Result<Option<Timestamp>> {
    for form in ["Mutating", "Validating"] {
        let policy = made_at(client, &format!("{form}AdmissionPolicy")).await?;
        let Some(policy) = policy else { continue };
        let binding = made_at(client, &format!("{form}AdmissionPolicyBinding")).await?;
        return Ok(binding.map(|binding| binding.max(policy)));
    }
    Ok(None)
}

/// When the object of this kind and our name was made. A kind that the cluster does not know is one without objects.
async fn made_at(client: &Client, kind: &str) -> kube::Result<Option<Timestamp>> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let mut resource = ApiResource::from_gvk(&kind);
    resource.plural = plural(&kind.kind);
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let found = objects.get_metadata_opt(REQUESTER_POLICY).await?;
    Ok(found.and_then(|found| Some(found.metadata.creation_timestamp?.0)))
}

fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    lower
        .strip_suffix('y')
        .map_or_else(|| format!("{lower}s"), |stem| format!("{stem}ies"))
}

fn forged() -> Promotion {
    Promotion {
        metadata: ObjectMeta {
            generate_name: Some("floe-probe-".to_owned()),
            ..ObjectMeta::default()
        },
        spec: PromotionSpec {
            version: "0.0.0".to_owned(),
            to: ENVIRONMENT.to_owned(),
            requested_by: Some(FORGED.to_owned()),
            ..PromotionSpec::default()
        },
        status: None,
    }
}

/// A refusal is an answer, and it lasts; everything else may be different a moment later.
fn refused(action: &str, error: kube::Error) -> kube::Result<Stamp> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 404 | 422) => Ok(
            not_in_force(format!("the operator cannot {action}: {}", status.message)),
        ),
        error => Err(error),
    }
}

fn not_in_force(problem: String) -> Stamp {
    Stamp::NotInForce { problem }
}

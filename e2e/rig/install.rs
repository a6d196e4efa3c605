//! What `helm install` would bring: CRDs, admission policies, rights.

use std::path::Path;

use floe::api::Promotion;
use kube::Api;
use kube::api::PostParams;

use crate::control_plane::{ControlPlane, Identity};
use crate::kubectl::Kubectl;
use crate::wait::{seconds, until};

/// Installs everything and waits until it is in force.
pub async fn install(control_plane: &ControlPlane, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kubectl = Kubectl::new(control_plane, folder, Identity::Admin);
    let crds: Vec<String> = floe::api::all_crds().iter().map(|crd| serde_json::to_string(crd).expect("JSON")).collect();
    apply(&kubectl, &["-f", "-"], &crds.join("\n---\n")).await;
    let established = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"];
    kubectl.run(&established, "").await.unwrap_or_else(|why| panic!("CRDs: {why}"));
    let admission = root.join("config/admission").display().to_string();
    apply(&kubectl, &["-f", &admission], "").await;
    apply(&kubectl, &["-f", "-"], include_str!("rights.yaml")).await;
    control_plane.namespace("floe-system").await;
    until_stamped(control_plane).await;
}

async fn apply(kubectl: &Kubectl, what: &[&str], input: &str) {
    let args = [&["apply", "--server-side"], what].concat();
    kubectl.run(&args, input).await.unwrap_or_else(|why| panic!("kubectl {}: {why}", args.join(" ")));
}

/// Admission policies take about a second to act.
async fn until_stamped(control_plane: &ControlPlane) {
    let api: Api<Promotion> = Api::namespaced(control_plane.client(Identity::Admin).await, "floe-system");
    let mut forged = Promotion::new("probe", floe::api::PromotionSpec::default());
    forged.spec.version = "1.0.0".to_owned();
    forged.spec.to = "nowhere".to_owned();
    forged.spec.requested_by = Some("forged".to_owned());
    let rehearsal = PostParams { dry_run: true, ..PostParams::default() };
    until("requestedBy is stamped at creation", seconds(30), async || {
        let stored = api.create(&rehearsal, &forged).await.ok()?;
        (stored.spec.requested_by.as_deref() == Some(Identity::Admin.user())).then_some(())
    })
    .await;
}

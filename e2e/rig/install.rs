//! What `helm install` brings, without the operator itself: CRDs, rights, admission policies.

use std::path::Path;

use floe::api::Promotion;
use kube::Api;
use kube::api::PostParams;
use tokio::process::Command;

use crate::control_plane::{ControlPlane, Identity};
use crate::kubectl::Kubectl;
use crate::process::tool;
use crate::wait::{seconds, until};

/// Installs everything and waits until it is in force.
pub async fn install(control_plane: &ControlPlane, folder: &Path) {
    let kubectl = Kubectl::new(control_plane, folder, Identity::Admin);
    control_plane.namespace("floe-system").await;
    apply(&kubectl, &render(&["crds"]).await).await;
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    kubectl
        .run(&established, "")
        .await
        .unwrap_or_else(|why| panic!("CRDs: {why}"));
    apply(
        &kubectl,
        &render(&["serviceaccount", "rbac", "user-roles", "admission"]).await,
    )
    .await;
    apply(&kubectl, include_str!("rights.yaml")).await;
    until_stamped(control_plane).await;
}

/// These templates of the chart.
async fn render(templates: &[&str]) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/floe");
    let mut helm = Command::new(tool("helm"));
    // `floe` in `floe-system` makes the ServiceAccount whose name the operator's token stands for.
    helm.args(["template", "floe"])
        .arg(&chart)
        .args(["--namespace=floe-system", "--set=admission.mode=Mutating"]);
    helm.args(
        templates
            .iter()
            .map(|name| format!("--show-only=templates/{name}.yaml")),
    );
    let output = helm.output().await.expect("run helm");
    assert!(
        output.status.success(),
        "helm template: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("YAML")
}

async fn apply(kubectl: &Kubectl, objects: &str) {
    kubectl
        .run(&["apply", "--server-side", "-f", "-"], objects)
        .await
        .unwrap_or_else(|why| panic!("kubectl apply: {why}"));
}

/// Admission policies take about a second to act.
async fn until_stamped(control_plane: &ControlPlane) {
    let api: Api<Promotion> =
        Api::namespaced(control_plane.client(Identity::Admin).await, "floe-system");
    let mut forged = Promotion::new("probe", floe::api::PromotionSpec::default());
    "1.0.0".clone_into(&mut forged.spec.version);
    "nowhere".clone_into(&mut forged.spec.to);
    forged.spec.requested_by = Some("forged".to_owned());
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    until(
        "requestedBy is stamped at creation",
        seconds(30),
        async || {
            let stored = api.create(&rehearsal, &forged).await.ok()?;
            (stored.spec.requested_by.as_deref() == Some(Identity::Admin.user())).then_some(())
        },
    )
    .await;
}

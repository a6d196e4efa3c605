//! What `helm install` brings, without the operator itself: CRDs, rights, admission policies.

use std::path::Path;

use floe::domain::observed::Stamp;
use floe::effects::{clock, requester_policy};
use tokio::process::Command;

use crate::control_plane::{ControlPlane, Identity};
use crate::kubectl::Kubectl;
use crate::process::tool;
use crate::wait::{seconds, until};

/// Everything of the chart that the rig installs, in this order.
const ADMISSION: [&str; 6] = [
    "admission",
    "admission/requests",
    "admission/operator",
    "admission/gate-jobs",
    "admission/gate-pods",
    "admission/policy-authors",
];

/// Installs everything and waits until it is in force.
pub async fn install(control_plane: &ControlPlane, folder: &Path) {
    install_for(control_plane, folder, "Mutating").await;
}

/// The same as for a cluster that has this form of admission policy.
pub async fn install_for(control_plane: &ControlPlane, folder: &Path, mode: &str) {
    let kubectl = Kubectl::new(control_plane, folder, Identity::Admin);
    control_plane.namespace("floe-system").await;
    apply(&kubectl, &render(&["crds"], mode).await).await;
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
    let rights = render(&["serviceaccount", "rbac", "user-roles"], mode).await;
    apply(&kubectl, &rights).await;
    apply(&kubectl, include_str!("rights.yaml")).await;
    admit(&kubectl, mode).await;
    until_in_force(control_plane).await;
}

/// Installs the admission policies.
pub async fn admit(admin: &Kubectl, mode: &str) {
    apply(admin, &render(&ADMISSION, mode).await).await;
}

/// These templates of the chart.
async fn render(templates: &[&str], mode: &str) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/floe");
    let mut helm = Command::new(tool("helm"));
    // `floe` in `floe-system` makes the ServiceAccount whose name the operator's token stands for.
    helm.args(["template", "floe"])
        .arg(&chart)
        .arg("--namespace=floe-system")
        .arg(format!("--set=admission.mode={mode}"))
        .arg(format!(
            "--set=admission.trusted={{{}}}",
            Identity::Hand.user()
        ))
        .arg("--set=rbac.promoters={dev,prod}");
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

/// Admission policies take about a second to act. What is asked for in their first seconds is refused, so these must
/// be over.
async fn until_in_force(control_plane: &ControlPlane) {
    let admin = control_plane.client(Identity::Admin).await;
    until("admission policies are in force", seconds(30), async || {
        let looked = requester_policy::look(&admin, "floe-system").await;
        matches!(looked.ok()?, Stamp::InForce { since } if since <= clock::now()).then_some(())
    })
    .await;
}

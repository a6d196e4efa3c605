//! What `helm install` brings, without the operator itself: CRDs, rights, admission policies.

use std::path::Path;

use floe::api::Promotion;
use floe::domain::observed::Stamp;
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
        &render(&[
            "serviceaccount",
            "rbac",
            "user-roles",
            "admission",
            "admission/requests",
            "admission/operator",
            "admission/gate-jobs",
            "admission/gate-pods",
            "admission/policy-authors",
        ])
        .await,
    )
    .await;
    apply(&kubectl, include_str!("rights.yaml")).await;
    until_in_force(control_plane).await;
}

/// These templates of the chart.
async fn render(templates: &[&str]) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/floe");
    let mut helm = Command::new(tool("helm"));
    // `floe` in `floe-system` makes the ServiceAccount whose name the operator's token stands for.
    helm.args(["template", "floe"])
        .arg(&chart)
        .args(["--namespace=floe-system", "--set=admission.mode=Mutating"])
        .arg(format!("--set=admission.trusted={{{}}}", Identity::Hand.user()))
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

/// Admission policies take about a second to act, each for itself: one case of each that they refuse. A request is
/// refused also that was made in the first seconds, so these must be over.
async fn until_in_force(control_plane: &ControlPlane) {
    let admin = control_plane.client(Identity::Admin).await;
    let promotions: Api<Promotion> = Api::namespaced(admin.clone(), "floe-system");
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
            let stored = promotions.create(&rehearsal, &forged).await.ok()?;
            (stored.spec.requested_by.as_deref() == Some(Identity::Admin.user())).then_some(())
        },
    )
    .await;
    let stamp = until("it is stamped long enough", seconds(30), async || {
        let looked = floe::effects::requester_policy::look(&admin, "floe-system").await;
        match looked.ok()? {
            Stamp::InForce { since } if since <= floe::effects::clock::now() => Some(since),
            _ => None,
        }
    });
    stamp.await;
}

//! What cosign has signed and attested still verifies on the registry that floe has copied it to.

use serde_json::json;

use crate::carry::carry;
use crate::made::{image, index_of};
use crate::programs::{Ended, Programs};
use crate::registries::Kind;
use crate::stand::{Stand, Way};

const NAME: &str = "team/app";
/// cosign's words for two kinds of attestation.
const SBOM: &str = "cyclonedx";
const PROVENANCE: &str = "slsaprovenance1";

/// In which form cosign stores what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As referrers that hold a Sigstore bundle.
    Bundle,
    /// Under the tags `sha256-<hex>.sig` and `.att`.
    Tags,
}

impl Form {
    /// What signing needs to ask nobody outside.
    fn signing(self) -> &'static [&'static str] {
        match self {
            Self::Bundle => &[
                "--yes",
                "--key=cosign.key",
                "--signing-config=signing-config.json",
            ],
            Self::Tags => &[
                "--yes",
                "--key=cosign.key",
                "--new-bundle-format=false",
                "--use-signing-config=false",
                "--tlog-upload=false",
            ],
        }
    }

    /// What cosign calls a signature when it lists what it has verified.
    fn signature(self) -> &'static str {
        match self {
            Self::Bundle => "https://sigstore.dev/cosign/sign/v1",
            Self::Tags => "cosign container image signature",
        }
    }

    fn verifying(self) -> &'static [&'static str] {
        match self {
            Self::Bundle => &["--insecure-ignore-tlog"],
            Self::Tags => &["--insecure-ignore-tlog", "--new-bundle-format=false"],
        }
    }
}

#[tokio::test]
async fn what_cosign_signed_verifies_after_the_copy_to_a_registry_with_the_referrers_api() {
    signed_artifacts_verify(Kind::Distribution, Kind::Referrers, Form::Bundle).await;
}

#[tokio::test]
async fn what_cosign_signed_verifies_after_the_copy_to_a_registry_without_the_referrers_api() {
    signed_artifacts_verify(Kind::Referrers, Kind::Distribution, Form::Bundle).await;
}

#[tokio::test]
async fn signatures_under_cosigns_older_tags_verify_after_the_copy() {
    signed_artifacts_verify(Kind::Distribution, Kind::Referrers, Form::Tags).await;
    signed_artifacts_verify(Kind::Referrers, Kind::Distribution, Form::Tags).await;
}

async fn signed_artifacts_verify(from: Kind, to: Kind, form: Form) {
    let source = Stand::start(Way::open(from)).await;
    let target = Stand::start(Way::open(to)).await;
    let programs = Programs::for_stands(&[&source, &target]);
    make_keys(&programs).await;

    let hand = source.by_hand(NAME);
    let single = image(&hand, "single").await;
    let children = [image(&hand, "amd64").await, image(&hand, "arm64").await];
    let index = index_of(&hand, &children).await;
    for root in [&single.digest, &index.digest] {
        let reference = format!("{}/{NAME}@{root}", source.host);
        sign(&programs, form, &reference).await;
    }

    for root in [&single.digest, &index.digest] {
        let [here, there] = [&source, &target].map(|stand| format!("{}/{NAME}@{root}", stand.host));
        refused(&verify(&programs, form, "cosign.pub", &there).await, &there);
        let (_, tag) = carry(&source, &target, NAME, root).await;
        for reference in [&here, &there] {
            all_verifies(&programs, form, reference, root).await;
            assert_eq!(programs.digest(reference).await, *root);
            // A signature that anybody's key would verify says nothing.
            refused(
                &verify(&programs, form, "other.pub", reference).await,
                reference,
            );
        }
        let tagged = format!("{}/{NAME}:{tag}", target.host);
        assert_eq!(programs.digest(&tagged).await, *root);
    }
    for child in &children {
        // The children of an index were signed with it.
        let reference = format!("{}/{NAME}@{}", target.host, child.digest);
        accepted(
            &verify(&programs, form, "cosign.pub", &reference).await,
            &reference,
        );
    }
}

async fn make_keys(programs: &Programs) {
    for prefix in ["cosign", "other"] {
        let prefix = format!("--output-key-prefix={prefix}");
        programs.ok("cosign", &["generate-key-pair", &prefix]).await;
    }
    let sbom =
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []});
    programs.write("sbom.json", &sbom.to_string());
    let provenance = json!({
        "buildDefinition": {"buildType": "https://example.com/build", "externalParameters": {}},
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    });
    programs.write("provenance.json", &provenance.to_string());
}

/// Signs the artifact and what an index lists, attests SBOM and provenance, and attaches the SBOM as it is.
async fn sign(programs: &Programs, form: Form, reference: &str) {
    let arguments = [&["sign", "--recursive"], form.signing()].concat();
    accepted(&programs.cosign(&arguments, reference).await, reference);
    for (kind, file) in [(SBOM, "sbom.json"), (PROVENANCE, "provenance.json")] {
        let (kind, file) = (format!("--type={kind}"), format!("--predicate={file}"));
        let arguments = [&["attest", &kind, &file], form.signing()].concat();
        accepted(&programs.cosign(&arguments, reference).await, reference);
    }
    let sbom = programs.file("sbom.json").display().to_string();
    let attach = [
        "artifact",
        "put",
        "--artifact-type=application/vnd.cyclonedx+json",
        "--file-media-type=application/vnd.cyclonedx+json",
        "--file",
        &sbom,
        "--subject",
    ];
    programs.regctl(reference, &attach).await;
}

async fn verify(programs: &Programs, form: Form, key: &str, reference: &str) -> Ended {
    let key = format!("--key={key}");
    let arguments = [&["verify", &key], form.verifying()].concat();
    programs.cosign(&arguments, reference).await
}

async fn all_verifies(programs: &Programs, form: Form, reference: &str, root: &str) {
    let signature = verify(programs, form, "cosign.pub", reference).await;
    accepted(&signature, reference);
    let listed = signature.json();
    assert_eq!(
        listed[0]["critical"]["image"]["docker-manifest-digest"],
        *root
    );
    // With bundles cosign counts attestations among the signatures: what it says must have a signature too.
    assert!(
        listed.to_string().contains(form.signature()),
        "{reference}: {listed}"
    );
    for kind in [SBOM, PROVENANCE] {
        let kind = format!("--type={kind}");
        let arguments = [
            &["verify-attestation", "--key=cosign.pub", &kind],
            form.verifying(),
        ]
        .concat();
        accepted(&programs.cosign(&arguments, reference).await, reference);
    }
    let tree = programs.cosign(&["tree"], reference).await;
    accepted(&tree, reference);
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    // A signature, two attestations and, where referrers are looked at, the SBOM as it is.
    assert!(tree.matches("sha256:").count() >= 3, "{reference}: {tree}");
}

fn accepted(ended: &Ended, reference: &str) {
    assert!(
        ended.status.success(),
        "cosign on {reference}: {}\n{}",
        ended.status,
        ended.stderr
    );
}

fn refused(ended: &Ended, reference: &str) {
    assert!(!ended.status.success(), "cosign accepts {reference}");
}

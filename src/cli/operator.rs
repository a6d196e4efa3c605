//! `floe operator`.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::OperatorArguments;
use super::{ExitCode, output};
use crate::controllers::{self, Options, Settings};
use crate::effects::audit_log::Place;
use crate::effects::registry::Addresses;
use crate::telemetry::start_logging;

/// Runs until TERM or INT.
pub(super) async fn run(arguments: OperatorArguments) -> ExitCode {
    start_logging(&arguments.log);
    let client = match client(&arguments).await {
        Ok(client) => client,
        Err(message) => return output::failure(ExitCode::Unexpected, &message),
    };
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signals(&stop) {
        return output::failure(
            ExitCode::Unexpected,
            &format!("cannot listen for signals: {error}"),
        );
    }
    let OperatorArguments {
        identity,
        namespace,
        leader_election,
        operator_namespace,
        listen,
        image,
        image_pull_policy,
        drift_period,
        registry_networks,
        allow_own_identity,
        own_identity,
        audit_log_dir,
        audit_log_file_size,
        ..
    } = arguments;
    let audit_log = audit_log_dir.map_or(Place::Stdout, |path| Place::Folder {
        path,
        file_size: audit_log_file_size,
    });
    let settings = Settings {
        identity,
        image,
        namespace: operator_namespace,
        image_pull_policy,
        drift_period,
        audit_log,
        addresses: Addresses::only(registry_networks),
        lent_identity: allow_own_identity.then(|| own_identity.into()),
    };
    let options = Options {
        settings,
        namespace,
        leader_election,
        listen,
    };
    match controllers::run(client, options, stop).await {
        Ok(()) => ExitCode::Done,
        Err(ended) => {
            tracing::error!(error = %ended, "the operator ended");
            ExitCode::Unexpected
        }
    }
}

async fn client(arguments: &OperatorArguments) -> Result<Client, String> {
    let config = match &arguments.kubeconfig {
        None => Config::infer().await.map_err(|error| error.to_string()),
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|error| error.to_string())
        }
    };
    let mut config = config.map_err(|error| format!("there is no access to a cluster: {error}"))?;
    // The client would send a create again and again within one call; passes are tried again as a whole.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| format!("there is no access to a cluster: {error}"))
}

fn stop_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                tracing::info!("stopping");
                stop.cancel();
            }
        });
    }
    Ok(())
}

use crate::api_server::run;

async fn alone(arguments: &[&str]) -> crate::api_server::Ran {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), arguments).await
}

#[tokio::test]
async fn what_cannot_be_understood_is_exit_code_2_and_says_so_on_standard_error() {
    for arguments in [
        "",
        "platform",
        "platform fly",
        "platform promote 1.2.3",
        "platform promote --to prod",
        "platform promote 1.2.3 --to prod --timeout soon",
        "platform promote 1.2.3 --to prod -o xml",
        "platform publish --version 1.2.3",
        "platform publish folder",
        "platform list --environment prod",
        "platform validate",
        "platform validate folder -o xml",
        "platform repair dev prod",
    ] {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let ran = alone(&words).await;
        assert_eq!(ran.code, 2, "{arguments}: {ran:?}");
        assert_eq!(ran.out, "", "{arguments}");
        assert!(!ran.err.is_empty(), "{arguments}");
    }
}

#[tokio::test]
async fn without_a_cluster_the_error_says_so_and_the_exit_code_is_1() {
    let ran = alone(&["platform", "status"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("no access to a cluster"), "{ran:?}");
}

#[tokio::test]
async fn the_definitions_are_printed_as_one_stream() {
    let ran = alone(&["crds"]).await;
    assert_eq!(ran.code, 0);
    assert_eq!(ran.out, floe::api::crds_yaml());
    assert_eq!(ran.err, "");
}

#[test]
fn every_command_and_every_argument_has_a_help_text() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path} has no help");
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
        {
            let id = argument.get_id();
            assert!(argument.get_help().is_some(), "{path}: {id} has no help");
        }
        for inner in command.get_subcommands() {
            check(inner, &path);
        }
    }
    let mut root = floe::cli::command();
    root.build();
    check(&root, "");
}

#[tokio::test]
async fn the_help_of_the_platform_commands_names_every_exit_code() {
    let ran = alone(&["platform", "--help"]).await;
    assert_eq!(ran.code, 0);
    for code in ["0", "1", "2", "8", "9", "10", "11", "12", "13", "14", "15"] {
        let line = format!("{code:>4}  ");
        assert!(
            ran.out.lines().any(|help| help.starts_with(&line)),
            "{code}: {}",
            ran.out
        );
    }
}

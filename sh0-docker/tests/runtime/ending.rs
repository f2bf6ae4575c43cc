//! Who closes a session ends its command.

use super::*;

async fn runs(bench: &Bench, name: &InstanceName, words: &str) -> bool {
    let top = bench.client.top_container(name.as_str()).await.unwrap();
    top.processes.iter().any(|row| row.last().is_some_and(|command| command.contains(words)))
}

#[tokio::test]
async fn a_command_ends_with_its_session() {
    let Some(bench) = Bench::new().await else { return };
    let support = bench.runtime.capabilities().await;
    let support = &support.iter().find(|has| has.name == "commands end with their session").unwrap().support;
    let artifact = bench.build("FROM BASE\nUSER 10001\n", &[], &NoOutput).await.unwrap();
    let name = bench.up(&bench.spec(&artifact, 0, "sleep 600")).await;
    for (terminal, command) in [
        (None, CommandLine::Exec(vec!["sleep".into(), "333".into()])),
        (Some(Terminal { cols: 80, rows: 24 }), CommandLine::Exec(vec!["sleep".into(), "333".into()])),
        (None, CommandLine::Shell("trap '' TERM HUP INT; (sleep 333; echo) & sleep 333; echo".into())),
    ] {
        let spec = ExecSpec { command, env: BTreeMap::new(), terminal };
        let session = bench.runtime.exec(&name, &spec).await.unwrap();
        until("it runs", async || runs(&bench, &name, "sleep 333").await.then_some(())).await;
        drop(session);
        if *support == Support::Yes {
            until("it has ended", async || (!runs(&bench, &name, "sleep 333").await).then_some(())).await;
        }
        // Before the engine has started it.
        drop(bench.runtime.exec(&name, &spec).await.unwrap());
        tokio::time::sleep(Duration::from_millis(500)).await;
        if *support == Support::Yes {
            until("it has ended", async || (!runs(&bench, &name, "sleep 333").await).then_some(())).await;
        }
    }
    assert!(bench.runtime.inspect(&name).await.unwrap().unwrap().state.is_running(), "the app itself goes on");

    // What a command that has ended leaves behind on purpose stays.
    let command = CommandLine::Shell("sleep 444 >/dev/null 2>&1 & sleep 0.1".into());
    let mut session =
        bench.runtime.exec(&name, &ExecSpec { command, env: BTreeMap::new(), terminal: None }).await.unwrap();
    assert_eq!(text(&mut session).await, "");
    assert_eq!(session.exit.await.unwrap().code, 0);
    assert!(runs(&bench, &name, "sleep 444").await);
    bench.clean().await;
}

use std::collections::BTreeMap;

use sh0_core::engine::Engine;
use sh0_core::model::{Exit, Millis, Secret, Strategy};
use sh0_core::ops::apps::{DeleteApp, ScaleApp, StopApp, UpdateApp};
use sh0_core::ops::env::SetEnv;
use sh0_core::ops::releases::Rollback;
use sh0_core::testkit::fakes::{Behaviour, FakePlanner, World, app, call, from};
use sh0_core::{Code, Result};

/// The app of every scenario.
pub(crate) const APP: &str = "shop";

/// What is asked for while things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    FirstDeploy,
    SecondDeploy,
    FailingDeploy,
    FailingReleaseCommand,
    FailingRecreate,
    Rollback,
    EnvChange,
    Scale,
    Stop,
    Destroy,
}

impl Scenario {
    /// Brings the platform to where the scenario begins.
    pub(crate) async fn prepare(self, world: &World, engine: &Engine) -> Result<()> {
        for tree in ["one", "two", "bad"] {
            let mut plan = FakePlanner::plain(tree);
            plan.processes.insert("worker".parse()?, format!("work-{tree}"));
            world.planner.script(format!("/src/{tree}"), plan);
        }
        world.runtime.script("bad", Behaviour::Exits(Exit { code: 1, oom: false }));
        let mut wish = app(APP);
        wish.settings.release_command = Some("migrate".to_owned());
        wish.settings.drain_timeout = Some(Millis(500));
        wish.settings.volumes = serde_json::from_str(r#"[{"name": "data", "path": "/data"}]"#)?;
        wish.env = BTreeMap::from([("GREETING".parse()?, Secret::new("hello"))]);
        let made = call(engine, wish).await?;
        if self == Scenario::FirstDeploy {
            return Ok(());
        }
        call(engine, from(APP, "one")).await?;
        world.rest().await?;
        world.runtime.write_volume(made.id, &"data".parse()?, "precious")?;
        match self {
            Scenario::FailingReleaseCommand => {
                world.runtime.script("fail-to-migrate", Behaviour::Exits(Exit { code: 3, oom: false }));
                let mut settings = made.settings;
                settings.release_command = Some("fail-to-migrate".to_owned());
                let update =
                    UpdateApp { app: APP.parse()?, name: None, port: None, source: None, settings: Some(settings) };
                call(engine, update).await.map(drop)
            }
            Scenario::FailingRecreate => {
                let mut settings = made.settings;
                settings.strategy = Strategy::Recreate;
                let update =
                    UpdateApp { app: APP.parse()?, name: None, port: None, source: None, settings: Some(settings) };
                call(engine, update).await.map(drop)
            }
            Scenario::Rollback => {
                call(engine, from(APP, "two")).await?;
                world.rest().await?;
                call(engine, greeting("good day")).await?;
                world.rest().await?;
                let mut settings = made.settings;
                settings.stop_grace = Some(Millis(1_234));
                let update =
                    UpdateApp { app: APP.parse()?, name: None, port: None, source: None, settings: Some(settings) };
                call(engine, update).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Asks once. What is there already because an earlier answer was lost is fine.
    pub(crate) async fn act(self, engine: &Engine) -> Result<()> {
        let reference = APP.parse()?;
        match self {
            Scenario::FirstDeploy => call(engine, from(APP, "one")).await.map(drop),
            Scenario::SecondDeploy | Scenario::FailingReleaseCommand => call(engine, from(APP, "two")).await.map(drop),
            Scenario::FailingDeploy | Scenario::FailingRecreate => call(engine, from(APP, "bad")).await.map(drop),
            Scenario::Rollback => match call(engine, Rollback { app: reference, to: Some(1) }).await {
                Err(error) if error.detail().contains("serves already") => Ok(()),
                result => result.map(drop),
            },
            Scenario::EnvChange => call(engine, greeting("good day")).await.map(drop),
            Scenario::Scale => {
                let scale = BTreeMap::from([("web".parse()?, 3), ("worker".parse()?, 0)]);
                call(engine, ScaleApp { app: reference, scale }).await.map(drop)
            }
            Scenario::Stop => call(engine, StopApp { app: reference }).await.map(drop),
            Scenario::Destroy => match call(engine, DeleteApp { app: reference, keep_volumes: false }).await {
                Err(error) if error.code() == Code::NotFound => Ok(()),
                result => result,
            },
        }
    }
}

fn greeting(text: &str) -> SetEnv {
    let vars = BTreeMap::from([("GREETING".parse().unwrap(), Secret::new(text))]);
    SetEnv { app: APP.parse().unwrap(), vars, stage: false }
}

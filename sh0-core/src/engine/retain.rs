//! Retention: what is old leaves the platform, so that nothing grows for ever.
//!
//! | what | how much stays |
//! | --- | --- |
//! | artifacts | the newest `keep_releases` of each app, and that of the live release |
//! | deployments, their events and journals | the newest `keep_deployments` of each app, and those that made a release whose artifact is kept |
//! | releases | the newest `keep_releases` of each artifact that is kept, the live one, and those whose deployment is kept |
//! | what builds keep to be faster | what the runtime allows itself, for all apps together |
//! | audit rows | the newest `keep_audit_rows`, none older than `keep_audit_for` |

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::repo::{AUDIT, CancelRow, Change, PruneRow, ReleaseRow, events, journal};
use crate::Result;
use crate::model::{AppId, Artifact, Deployment, DeploymentId, RuntimeKind, Timestamp};
use crate::traits::{Entry, Runtime};

/// Deployments that one commit forgets.
const AT_ONCE: usize = 100;

/// Audit rows that one commit forgets.
const ROWS: usize = 1000;

impl Engine {
    /// Prunes when a deployment has ended since the last time.
    pub(crate) async fn prune_if_asked(&self, app: AppId, pinned: Option<RuntimeKind>) -> Result<()> {
        let Some(asked) = self.repo().get::<PruneRow>(app).await? else { return Ok(()) };
        for (kind, runtime) in &self.inner.backends.runtimes {
            match pinned {
                Some(pinned) if pinned != *kind => {}
                Some(_) => self.prune(app, &**runtime).await?,
                None => match self.prune(app, &**runtime).await {
                    // Whether it was built there nobody knows: the wish stays, and each round of the reconciler tries.
                    Err(error) if error.is_transient() => return Ok(()),
                    pruned => pruned?,
                },
            }
        }
        self.forget_deployments(app).await?;
        let mut change = Change::default();
        change.check::<PruneRow>(app.to_string(), Some(asked.revision));
        change.delete::<PruneRow>(app);
        self.commit(change).await.map(drop)
    }

    /// Keeps the newest artifacts and that of the live release; removes the others and what failed builds left.
    async fn prune(&self, app: AppId, runtime: &dyn Runtime) -> Result<()> {
        let live = self.repo().app(app).await?.value.app.live.map(|live| live.release);
        let mut releases = self.repo().list::<ReleaseRow>(|query| query.of(app.to_string()).newest(10_000)).await?;
        let keep = self.inner.config.keep_releases.max(1);
        // Releases that share an artifact, by changes of the environment, count as one and not against older code.
        let mut in_use: BTreeMap<Artifact, usize> = BTreeMap::new();
        let mut change = Change::default();
        for row in &mut releases {
            let release = &mut row.value.release;
            if release.pruned {
                continue;
            }
            let room = match in_use.get(&release.artifact) {
                Some(releases) => *releases < keep,
                None => in_use.len() < keep,
            };
            if Some(release.id) == live || room {
                *in_use.entry(release.artifact.clone()).or_default() += 1;
            } else {
                release.pruned = true;
                change.update(row)?;
            }
        }
        // Marked first: a release that says it can serve has its artifact.
        self.commit(change).await?;
        for artifact in runtime.list_artifacts(app).await? {
            if !in_use.keys().any(|used| used.runtime == artifact.runtime && used.id == artifact.id) {
                runtime.remove_artifact(&artifact).await?;
            }
        }
        self.inner.caches_grew.notify_one();
        Ok(())
    }

    /// Trims what builds keep whenever retention has run. A task of its own: it may take minutes, and no app waits for it.
    pub(crate) async fn trim_caches(&self) {
        loop {
            self.inner.caches_grew.notified().await;
            for (kind, runtime) in &self.inner.backends.runtimes {
                if let Err(error) = runtime.trim_build_cache().await {
                    tracing::warn!(%kind, %error, "what builds keep could not be trimmed; the next deployment has it tried again");
                }
            }
        }
    }

    /// Forgets the deployments that are over and beyond retention, with all that was told of them, and the releases that
    /// they made.
    async fn forget_deployments(&self, app: AppId) -> Result<()> {
        let live = self.repo().app(app).await?.value.app.live.map(|live| live.deployment);
        let releases = self.repo().list::<ReleaseRow>(|query| query.of(app.to_string())).await?;
        let serve = releases.iter().map(|row| &row.value.release).filter(|release| !release.pruned);
        let needed: BTreeSet<DeploymentId> = serve.map(|release| release.deployment).chain(live).collect();
        let all = self.repo().list::<Deployment>(|query| query.of(app.to_string()).newest(usize::MAX)).await?;
        let keep = self.inner.config.keep_deployments;
        let (mut known, mut old) = (BTreeSet::new(), Vec::new());
        for (place, row) in all.into_iter().enumerate() {
            let deployment = row.value;
            match place < keep || !deployment.state.is_final() || needed.contains(&deployment.id) {
                true => _ = known.insert(deployment.id),
                false => old.push(deployment.id),
            }
        }
        for some in old.chunks(AT_ONCE) {
            let mut change = Change::default();
            for id in some {
                change.forget_stream(events(*id));
                change.forget_stream(journal(*id));
                change.delete::<Deployment>(id);
                change.delete::<CancelRow>(id);
            }
            self.commit(change).await?;
        }
        let mut change = Change::default();
        let releases = releases.iter().map(|row| &row.value.release);
        for release in releases.filter(|release| release.pruned && !known.contains(&release.deployment)) {
            change.delete::<ReleaseRow>(release.id);
        }
        self.commit(change).await.map(drop)
    }

    /// Forgets the oldest audit rows.
    pub(crate) async fn trim_audit(&self) -> Result<()> {
        let (store, config) = (&self.inner.backends.store, &self.inner.config);
        let keep = config.keep_audit_rows.max(1) as u64;
        loop {
            let Some(first) = store.read(AUDIT, 0, 1).await?.first().map(|entry| entry.seq) else { return Ok(()) };
            let beyond = store.read(AUDIT, first.saturating_add(keep) - 1, ROWS).await?.len();
            let gone = match beyond {
                0 => self.expired_rows().await?,
                beyond => beyond,
            };
            if gone == 0 {
                return Ok(());
            }
            let mut change = Change::default();
            change.trim_stream(AUDIT, first + gone as u64 - 1);
            self.commit(change).await?;
        }
    }

    /// How many of the first audit rows are too old. The newest of all never is: it carries the count on.
    async fn expired_rows(&self) -> Result<usize> {
        let now = self.now();
        let keep = self.inner.config.keep_audit_for;
        let expired = |entry: &&Entry| {
            let at = entry.body.get("at").and_then(|at| at.as_str()).and_then(|at| at.parse::<Timestamp>().ok());
            at.is_some_and(|at| now.duration_since(at).try_into().is_ok_and(|age: std::time::Duration| age > keep))
        };
        let store = &self.inner.backends.store;
        match store.read(AUDIT, 0, 2).await?.as_slice() {
            [first, _] if expired(&first) => {}
            _ => return Ok(0),
        }
        let rows = store.read(AUDIT, 0, ROWS).await?;
        Ok(rows[..rows.len() - 1].iter().take_while(expired).count())
    }
}

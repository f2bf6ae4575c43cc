//! Images of a generated Dockerfile beside those of the Dockerfile that a tutorial has: how large they are, and how long
//! a build takes the first time and after a change of the source alone.
//!
//! The apps are a list, `benches/apps/images.tsv`; their other Dockerfiles lie in `benches/apps/naive`. Both trees of an app
//! go through the same `sh0 deploy` onto the same engine, in turn, from the same base images, and each image must answer
//! with the app's own text, the changed one after each change. A platform of its own makes first builds cold: no layer and
//! no cache mount of an earlier build is used.
//!
//! With `--image-mirror sh0-test`, base images are stand-ins, which `cargo xtask prove` makes first. The source of an app
//! changes `--rounds N` times, fewer when that takes longer than a minute, and at least twice. `--only TEXT` takes the apps
//! whose names have it, `--limit SECONDS` bounds each deploy.
//!
//! Columns of the list, separated by tabs:
//!
//! | column | what |
//! | --- | --- |
//! | `name` | for people |
//! | `naive` | `naive/NAME.Dockerfile`, also the name of the app |
//! | `repo` | `owner/name` |
//! | `ref` | commit |
//! | `folder` | of the app within the repository; all of it when empty |
//! | `path` | what is asked for |
//! | `file` | which file changes |
//! | `text` | of that file, and of the answer; numbers are set behind it at each change |

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use sh0::model::{App, AppSettings, ImagePlan, Millis, RuntimeKind, Step};
use sh0::ops::apps::DeleteApp;
use sh0_build::{DirTree, Options, plan_tree};
use sh0_docker::client::Client;

use super::apps::answered;
use super::sources::{self, Place};
use super::{number, progress, word};
use crate::platform::{Platform, Programs, addr};
use crate::report::{Report, Series};
use crate::{Outcome, engine};

/// After so many changes of an app and so long, there is no further one.
const FEWEST: usize = 2;
const LONGEST: Duration = Duration::from_secs(60);

/// A line of the list.
struct Example {
    name: String,
    naive: String,
    place: Place,
    path: String,
    file: String,
    text: String,
}

/// What came of one of both images.
#[derive(Default)]
struct Image {
    /// In MB, as `docker images` counts them.
    size: f64,
    /// Its base image's part of that.
    base: f64,
    /// In seconds.
    first: f64,
    /// After each change, in seconds.
    rebuilds: Series,
}

/// What every deploy needs.
struct Bench {
    platform: Platform,
    engine: Client,
    /// Where base images come from in place of the default registry.
    mirror: Option<String>,
    limit: Duration,
    /// Of this run: what it changes is in no cache of an earlier one.
    run: u64,
}

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps");
    let only = word("--only").unwrap_or_default();
    let list = fs::read_to_string(apps.join("images.tsv"))?;
    let examples: Vec<Example> =
        list.lines().skip(1).filter_map(read).filter(|example| example.name.contains(&only)).collect();
    let mirror = sources::mirror()?;
    examples.iter().try_for_each(|example| example.place.fetch(&mirror))?;
    let rounds = usize::try_from(number("--rounds", 5))?.max(1);

    let programs = Programs::find()?;
    let images = word("--image-mirror");
    let more: Vec<&str> = images.iter().flat_map(|images| ["--image-mirror", images]).collect();
    let platform = Platform::start_with(&programs, RuntimeKind::Docker, &more).await?;
    let limit = Duration::from_secs(number("--limit", 900));
    let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let bench = Bench { platform, engine: engine::usual().await?, mirror: images, limit, run };
    let mut results = Vec::new();
    for example in &examples {
        let naive = fs::read_to_string(apps.join(format!("naive/{}.Dockerfile", example.naive)))?;
        results.push(bench.compare(example, &naive, &mirror, rounds).await?);
    }
    Ok(report(&examples, &results))
}

impl Bench {
    /// Both images of an app: naive, ours.
    async fn compare(&self, example: &Example, naive: &str, mirror: &Path, rounds: usize) -> Outcome<[Image; 2]> {
        let trees = ["naive", "sh0"].map(|side| self.platform.beside(&format!("{}-{side}", example.naive)));
        for tree in &trees {
            example.place.unpack(mirror, tree)?;
        }
        fs::write(trees[0].join("Dockerfile"), self.mirrored(naive))?;
        let mut apps = Vec::new();
        for tree in &trees {
            apps.push(self.app(tree).await?);
        }
        let mut images = [Image::default(), Image::default()];
        for ((image, app), tree) in images.iter_mut().zip(&apps).zip(&trees) {
            image.base = self.size(&self.base(tree)?).await?;
            (image.first, image.size) = self.built(example, app, tree, 0).await?;
            progress(format!("{}: {:.0} MB in {:.1} s", tree.display(), image.size, image.first));
        }
        let began = Instant::now();
        for round in 1..=rounds {
            if round > FEWEST && began.elapsed() > LONGEST {
                break;
            }
            for ((image, app), tree) in images.iter_mut().zip(&apps).zip(&trees) {
                let (seconds, size) = self.built(example, app, tree, round).await?;
                image.rebuilds.add(seconds);
                image.size = size;
                progress(format!("{}: after change {round} in {seconds:.1} s", tree.display()));
            }
        }
        for app in apps {
            self.platform.api().call(DeleteApp { app: app.id.into(), keep_volumes: false }).await?;
        }
        Ok(images)
    }

    async fn app(&self, tree: &Path) -> Outcome<App> {
        let name = tree.file_name().and_then(|name| name.to_str()).ok_or("a tree without a name")?;
        // What serves the old text need not be waited for.
        let (drain_timeout, stop_grace) = (Some(Millis(100)), Some(Millis(2000)));
        let settings = AppSettings { drain_timeout, stop_grace, ..AppSettings::default() };
        self.platform.create_app(name, settings).await
    }

    /// Deploys the tree as it is after so many changes: seconds of the build, megabytes of its image. It must answer.
    async fn built(&self, example: &Example, app: &App, tree: &Path, changes: usize) -> Outcome<(f64, f64)> {
        let text = |changes: usize| match changes {
            0 => example.text.clone(),
            changes => format!("{} {}.{changes}", example.text, self.run),
        };
        if let Some(before) = changes.checked_sub(1) {
            let file = tree.join(&example.file);
            let (source, old) = (fs::read_to_string(&file)?, text(before));
            if !source.contains(&old) {
                return Err(format!("{} has no {old:?}", file.display()).into());
            }
            fs::write(file, source.replace(&old, &text(changes)))?;
        }
        let deployment = self.platform.begin_with(app, tree, changes == 0).await?;
        let ended = self.platform.finish_within(&deployment, self.limit).await?;
        ended.deployment.outcome()?;
        answered(addr(app), &example.path, &text(changes)).await?;
        let seconds = ended.took(Step::Build).ok_or("a deployment without a build")?.as_secs_f64();
        let platform = self.platform.id.ok_or("the platform has no id")?;
        let containers = engine::labelled(&self.engine, platform).await?;
        let id = deployment.id.to_string();
        let container = containers.iter().find(|container| container.labels.get("sh0.deployment") == Some(&id));
        let container = container.ok_or("no container runs it")?;
        Ok((seconds, self.size(&container.image_id).await?))
    }

    async fn size(&self, image: &str) -> Outcome<f64> {
        Ok(self.engine.inspect_image(image).await?.size.ok_or("an image without a size")? as f64 / 1e6)
    }

    /// What the last stage of the tree's Dockerfile, or of the generated one, starts from.
    fn base(&self, tree: &Path) -> Outcome<String> {
        let options = Options { mirror: self.mirror.clone(), buildkit: true, ..Options::default() };
        let dockerfile = match plan_tree(&DirTree::open(tree)?, &AppSettings::default(), &options)?.image {
            ImagePlan::Generated { dockerfile, .. } => dockerfile,
            _ => fs::read_to_string(tree.join("Dockerfile"))?,
        };
        let from = dockerfile.lines().rev().find_map(|line| line.strip_prefix("FROM "));
        Ok(from.ok_or("a Dockerfile without FROM")?.to_owned())
    }

    /// Its base image from where those of generated Dockerfiles come from.
    fn mirrored(&self, dockerfile: &str) -> String {
        match &self.mirror {
            Some(mirror) => dockerfile.replacen("FROM ", &format!("FROM {mirror}/library/"), 1),
            None => dockerfile.to_owned(),
        }
    }
}

fn report(examples: &[Example], results: &[[Image; 2]]) -> Report {
    let mut report = Report::default();
    for (example, [naive, ours]) in examples.iter().zip(results) {
        if ours.size >= naive.size {
            report.problem(format!(
                "{}: the image has {:.1} MB, not less than {:.1}",
                example.name, ours.size, naive.size
            ));
        }
        let [mine, other] = [ours, naive].map(|image| image.rebuilds.median());
        if mine > other {
            report.problem(format!("{}: a change takes {mine:.1} s, not at most {other:.1}", example.name));
        }
    }
    let pairs = || examples.iter().zip(results).map(|(example, [naive, ours])| (example.name.clone(), naive, ours));
    let ratio = |naive: f64, ours: f64| format!("{:.1}", naive / ours);

    report.section("Size of the image, in MB");
    let rows = pairs().map(|(name, naive, ours)| {
        let own = |image: &Image| format!("{:.1}", image.size - image.base);
        let size = |image: &Image| format!("{:.1}", image.size);
        [name, size(naive), size(ours), ratio(naive.size, ours.size), own(naive), own(ours)]
    });
    let head = ["app", "naive", "sh0", "naive / sh0", "naive, above its base image", "sh0, above its base image"];
    report.table(&head, rows);

    report.section("Build after a change of the source alone, in seconds");
    let rows = pairs().map(|(name, naive, ours)| {
        let all = |image: &Image| {
            let series = &image.rebuilds;
            format!("{:.1} ({:.1} to {:.1}, n={})", series.median(), series.min(), series.quantile(1.0), series.len())
        };
        [name, all(naive), all(ours), ratio(naive.rebuilds.median(), ours.rebuilds.median())]
    });
    report.table(&["app", "naive", "sh0", "naive / sh0"], rows);

    report.section("First build, in seconds");
    let rows = pairs().map(|(name, naive, ours)| {
        [name, format!("{:.1}", naive.first), format!("{:.1}", ours.first), ratio(naive.first, ours.first)]
    });
    report.table(&["app", "naive", "sh0", "naive / sh0"], rows);

    report.say(
        "A build is the step of that name of a deploy: the context packed and sent, every stage, the image written. After a \
         change: the median of n changes, each deployed with the naive Dockerfile and then with ours, and the fastest and \
         slowest. First builds use no layer and no cache mount of an earlier one. Every image answered with the app's own \
         text, after a change with the changed text. The naive Dockerfiles are in `benches/apps/naive`; they start from the \
         images that ours build on.",
    );
    report.section("From where");
    let rows = examples.iter().map(|example| {
        [example.name.clone(), example.place.shown(), example.place.commit.clone(), example.file.clone()]
    });
    report.table(&["app", "from", "commit", "what changes"], rows);
    report
}

fn read(line: &str) -> Option<Example> {
    let mut columns = line.split('\t').map(|column| column.trim().to_owned());
    let mut next = || columns.next();
    let (name, naive) = (next()?, next()?);
    let place = Place { repo: next()?, commit: next()?, folder: next()? };
    Some(Example { name, naive, place, path: next()?, file: next()?, text: next()? })
}

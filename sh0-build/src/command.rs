//! What a shell command runs, as far as its words tell.

/// The parts of a command that run a program each, as words: `cd a && X=1 go run .` has `cd a` and `go run .`.
fn parts(command: &str) -> impl Iterator<Item = Vec<&str>> {
    command.split(['&', '|', ';', '\n', '(', ')']).map(|part| {
        part.split_whitespace()
            .skip_while(|word| is_assignment(word) || matches!(*word, "exec" | "env" | "nohup" | "sh" | "bash"))
            .collect()
    })
}

/// The words of a command, without the variables in front.
pub(crate) fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split_whitespace().skip_while(|word| is_assignment(word))
}

/// `NAME=value` in front of a program.
pub(crate) fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The program that a command runs first.
pub(crate) fn program(command: &str) -> Option<&str> {
    parts(command).next()?.first().copied()
}

/// The tool that builds, where a command runs it: images that only run what was built are without it.
pub(crate) fn build_tool(command: &str) -> Option<&str> {
    parts(command).find_map(|words| {
        let program = *words.first()?;
        let builds = match program {
            // Wrappers lie in the tree.
            "./mvnw" | "./gradlew" | "mvnw" | "gradlew" => true,
            "go" | "cargo" | "mvn" | "gradle" | "mix" | "swift" | "crystal" | "shards" | "stack" | "cabal" | "dart"
            | "zig" => true,
            // `dotnet app.dll` needs the runtime alone.
            "dotnet" => {
                matches!(
                    words.get(1),
                    Some(&("run" | "watch" | "ef" | "build" | "test" | "tool" | "publish" | "msbuild"))
                )
            }
            _ => false,
        };
        builds.then(|| program.trim_start_matches("./"))
    })
}

/// The options of an interpreter that take the next word, and those that leave it without a file to start
/// (nodejs.org/api/cli.html, docs.python.org/3/using/cmdline.html, php.net/features.commandline, bun.com/docs/cli/run).
fn options(interpreter: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    const NODE: &[&str] = &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
        "--env-file-if-exists",
        "--title",
        "--disable-warning",
        "--unhandled-rejections",
        "--tsconfig",
        "--preload",
        "--cwd",
        "-P",
        "--project",
        "-O",
        "--compiler-options",
    ];
    const EVALUATED: &[&str] =
        &["-e", "--eval", "-p", "--print", "-pe", "--run", "--test", "-i", "--interactive", "-v", "--version"];
    Some(match interpreter.rsplit('/').next()? {
        "node" | "bun" | "tsx" | "ts-node" => (NODE, EVALUATED),
        "python" | "python3" => (&["-W", "-X"], &["-m", "-c", "-V", "--version"]),
        "ruby" => (&["-I", "-r", "-C", "-E"], &["-e", "-S", "-v"]),
        "php" => (&["-d", "-c", "-t"], &["-S", "-r", "-a", "-v"]),
        _ => return None,
    })
}

/// The command without what starts it again whenever the source changes: `node a.js` of `node --watch a.js`. What stands
/// behind the script is the app's own, and a line with quotes stays as it is.
pub(crate) fn unwatched(command: &str) -> String {
    const DENO: &[&str] = &["-c", "--config", "--import-map", "--host", "--port"];
    let all: Vec<&str> = command.split_whitespace().collect();
    let at = all.iter().take_while(|word| is_assignment(word)).count();
    let program = all.get(at).copied().filter(|program| matches!(*program, "node" | "bun" | "tsx" | "deno"));
    let Some(program) = program.filter(|_| !command.contains(['\'', '"', '`', '\\', '\n'])) else {
        return command.to_owned();
    };
    let with_value = options(program).map_or(DENO, |(with_value, _)| with_value);
    let mut kept = all[..=at].to_vec();
    let mut words = all[at + 1..].iter().copied().peekable();
    let by_verb = program == "tsx" && words.next_if_eq(&"watch").is_some();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        let chooses = by_verb && matches!(name, "--ignore" | "--include" | "--exclude");
        if chooses || matches!(name, "--watch-path" | "--watch-kill-signal") {
            if name == word {
                words.next();
            }
            continue;
        }
        if name.starts_with("--watch") || name == "--hot" || by_verb && name.starts_with("--clear-screen") {
            continue;
        }
        kept.push(word);
        if with_value.contains(&word) {
            kept.extend(words.next());
        } else if !word.starts_with('-') && !matches!((program, word), ("bun" | "deno", "run") | ("deno", "serve")) {
            break;
        }
    }
    kept.extend(words);
    if kept.len() == all.len() { command.to_owned() } else { kept.join(" ") }
}

/// The file that an interpreter starts, among its options: `server.js` of `-r dotenv/config server.js`. `words` stands
/// behind it then.
pub(crate) fn script<'c>(interpreter: &str, words: &mut impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let (with_value, without_file) = options(interpreter)?;
    loop {
        match words.next()? {
            option if without_file.contains(&option) => return None,
            option if with_value.contains(&option) => drop(words.next()?),
            "--" => {}
            option if option.starts_with('-') => {}
            file => return Some(file),
        }
    }
}

/// Whether a command names the program at `path`, in the folder where it runs.
pub(crate) fn names_path(command: &str, path: &str) -> bool {
    let words = command.split(|c: char| c.is_whitespace() || "&|;()'\"".contains(c));
    words.map(|word| word.trim_start_matches("./")).any(|word| word == path)
}

/// Whether a command runs a program of this name, found in `PATH`.
pub(crate) fn runs(command: &str, name: &str) -> bool {
    parts(command).any(|words| words.first() == Some(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_behind_what_stands_in_front() {
        for (command, tool) in [
            ("go run main.go", Some("go")),
            ("GIN_MODE=release PORT=1 go run main.go", Some("go")),
            ("cd api && exec ./gradlew bootRun", Some("gradlew")),
            ("sh gradlew bootRun", Some("gradlew")),
            ("mix ecto.migrate; mix phx.server", Some("mix")),
            ("dotnet run --urls http://*:$PORT", Some("dotnet")),
            ("dotnet app.dll", None),
            ("./server --mode go", None),
            ("./stack serve", None),
            ("java -jar app.jar", None),
        ] {
            assert_eq!(build_tool(command), tool, "{command}");
        }
        for (command, file) in [
            ("node server.js", Some("server.js")),
            ("node -r dotenv/config --max-old-space-size=512 server.js --all", Some("server.js")),
            ("node --import=tsx --env-file .env src/a.ts", Some("src/a.ts")),
            ("/usr/bin/node --loader ts-node/esm a.ts", Some("a.ts")),
            ("node -e 1", None),
            ("node --require", None),
            ("python -u -X dev app.py", Some("app.py")),
            ("python3 -m http.server", None),
            ("php -S 0.0.0.0:8000 -t public", None),
            ("gunicorn app:app", None),
        ] {
            let mut words = command.split(' ');
            assert_eq!(script(words.next().unwrap(), &mut words), file, "{command}");
        }
        for (command, lasting) in [
            ("node --watch --env-file=.env a.js", "node --env-file=.env a.js"),
            ("A=1 tsx watch src/a.ts", "A=1 tsx src/a.ts"),
            ("deno run -A --watch=a/,b/ a.ts", "deno run -A a.ts"),
            ("node a.js  'b  c'", "node a.js  'b  c'"),
            ("node --watch -e \"log('a  b')\" a.js", "node --watch -e \"log('a  b')\" a.js"),
            ("node --watch-path ./src --watch-path=lib a.js", "node a.js"),
            ("node -r dotenv/config --watch a.js  --watch", "node -r dotenv/config a.js --watch"),
            ("node a.js  --watch", "node a.js  --watch"),
            ("bun run --hot a.ts", "bun run a.ts"),
            ("tsx watch --clear-screen=false --ignore ./x --include=y src/a.ts --ignore z", "tsx src/a.ts --ignore z"),
            ("tsx src/a.ts tsx watch b", "tsx src/a.ts tsx watch b"),
            ("webpack --watch", "webpack --watch"),
        ] {
            assert_eq!(unwatched(command), lasting);
        }
        assert!(names_path("sh -c './bin/worker --all'", "bin/worker"));
        assert!(!names_path("./bin/worker-2", "bin/worker"));
        assert!(runs("QUEUE=a worker && x", "worker") && !runs("echo worker", "worker"));
    }
}

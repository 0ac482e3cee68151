use super::*;
use flora_data::Participants;

fn read(text: &str) -> Result<Sweep, TuningError> {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    Sweep::from_file(file.path())
}

const BASE: &str = "name = 'x'\nbase = 'quickstart'\n";
const AXES: &str = "[[axes]]\nname = 'method'\n\
                    values = [{ name = 'FLoRA' }, { name = 'FedFFT', set = ['method.name=fedfft'] }]\n\
                    [[axes]]\nname = 'rank'\n\
                    values = [{ name = '1', set = ['method.lora.r=1'] }, \
                    { name = '16', set = ['method.lora.r=16'] }]\n";

fn folders(sweep: &Sweep) -> Vec<String> {
    sweep.runs().unwrap().into_iter().map(|run| run.folder).collect()
}

#[test]
fn rows_and_seeds_become_runs() {
    let sweep = read(
        "name = 'x'\nbase = 'quickstart'\nseeds = [3, 4]\nset = ['training.rounds=2']\n\
         [[rows]]\nname = 'FLoRA, text'\n\
         [[rows]]\nname = 'alone'\nset = ['training.rounds=1']\n\
         each = ['federation.participants=[\"openmoji\"]', \
         'federation.participants=[\"fxemoji\"]']",
    )
    .unwrap();
    let runs = sweep.runs().unwrap();
    assert_eq!(
        folders(&sweep),
        [
            "flora-text-seed-3",
            "alone.1-seed-3",
            "alone.2-seed-3",
            "flora-text-seed-4",
            "alone.1-seed-4",
            "alone.2-seed-4",
        ]
    );
    assert_eq!((runs[0].experiment.training.rounds, runs[0].experiment.seed), (2, 3));
    assert_eq!(runs[5].experiment.training.rounds, 1);
    assert_eq!((runs[5].row, runs[5].part), (1, 1));
    let only = Participants::Only(vec!["fxemoji".into()]);
    assert_eq!(runs[5].experiment.federation.participants, only);
}

#[test]
fn axes_become_their_product() {
    let sweep = read(&format!("{BASE}seeds = [0, 7]\n{AXES}")).unwrap();
    let rows = sweep.combinations();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["FLoRA, rank 1", "FLoRA, rank 16", "FedFFT, rank 1", "FedFFT, rank 16"]);
    assert_eq!(rows[2].values, [1, 0]);
    let first = ["flora_rank-1", "flora_rank-16", "fedfft_rank-1", "fedfft_rank-16"];
    let both = |seed: u64| first.map(|name| format!("{name}-seed-{seed}"));
    assert_eq!(folders(&sweep), [both(0), both(7)].concat());
    let runs = sweep.runs().unwrap();
    assert_eq!(runs[1].experiment.method.lora.r, 16);
    assert_eq!(runs[2].experiment.method.name.as_str(), "fedfft");
    assert_eq!(runs[3].experiment.name, "fedfft_rank-16");
}

#[test]
fn every_seed_runs_every_draw() {
    let rows = "[[rows]]\nname = 'a'\n[[rows]]\nname = 'b'\neach = ['training.rounds=1', 'training.rounds=2']";
    let sweep = read(&format!("{BASE}seeds = [3, 4]\npartition_seeds = [0, 7]\n{rows}")).unwrap();
    let names = |draw: u64, seed: u64| {
        ["a", "b.1", "b.2"].map(|name| format!("{name}-draw-{draw}-seed-{seed}"))
    };
    assert_eq!(folders(&sweep), [names(0, 3), names(7, 3), names(0, 4), names(7, 4)].concat());
    let runs = sweep.runs().unwrap();
    let last = &runs[10];
    assert_eq!((last.draw, last.experiment.data.seed, last.experiment.seed), (Some(7), 7, 4));
    // A run of the same sweep with one draw in `set` is this very run.
    let one = read(&format!("{BASE}seeds = [4]\nset = ['data.seed=7']\n{rows}")).unwrap();
    let one = one.runs().unwrap();
    assert_eq!((one[1].folder.as_str(), one[1].draw), ("b.1-seed-4", None));
    assert_eq!(one[1].experiment, last.experiment);
    assert_eq!(one[1].experiment.to_toml(), last.experiment.to_toml());
}

#[test]
fn combinations_are_left_out_and_compared() {
    let skip = "skip = [{ method = 'FedFFT', rank = ['16'] }]\nbaseline = { method = 'FLoRA' }\n";
    let sweep = read(&format!("{BASE}{skip}{AXES}")).unwrap();
    assert_eq!(sweep.baseline_name().unwrap(), "FLoRA at the row's other values");
    let rows = sweep.combinations();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["FLoRA, rank 1", "FLoRA, rank 16", "FedFFT, rank 1"]);
    assert_eq!(
        rows.iter().map(|row| row.baseline).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(0)]
    );
    let skip = "skip = [{ method = 'FLoRA', rank = '16' }]\nbaseline = { method = 'FLoRA' }\n";
    let rows = read(&format!("{BASE}{skip}{AXES}")).unwrap().combinations();
    assert_eq!(rows.iter().map(|row| row.baseline).collect::<Vec<_>>(), [Some(0), Some(0), None]);
    let one = read(&format!("{BASE}baseline = 'FedFFT, rank 1'\n{AXES}")).unwrap();
    assert_eq!(one.baseline_name().unwrap(), "FedFFT, rank 1");
    assert!(one.combinations().iter().all(|row| row.baseline == Some(2)));
    let number = read(&format!("{BASE}baseline = {{ rank = '16', method = 'FLoRA' }}\n{AXES}"));
    assert_eq!(number.unwrap().baseline_name().unwrap(), "FLoRA, rank 16");
    let list = read(&format!("{BASE}baseline = 'b'\n[[rows]]\nname = 'a'\n[[rows]]\nname = 'b'"));
    assert!(list.unwrap().combinations().iter().all(|row| row.baseline == Some(1)));
}

#[test]
fn values_may_have_a_base_and_several_runs() {
    let sweep = read(&format!(
        "{BASE}[[axes]]\nname = 'data'\nvalues = [{{ name = 'emoji' }}, \
         {{ name = 'Fashion-MNIST', base = 'fashion-mnist-iid' }}]\n\
         [[axes]]\nname = 'who'\nvalues = [{{ name = 'all' }}, {{ name = 'alone', each = \
         ['federation.participants=[\"a\"]', 'federation.participants=[\"b\"]'] }}]\n\
         [[axes]]\nname = 'rounds'\nvalues = [{{ name = 'few', each = ['training.rounds=1', \
         'training.rounds=2'] }}]\n"
    ));
    let runs = sweep.unwrap().runs().unwrap();
    let folders: Vec<_> = runs.iter().map(|run| run.folder.as_str()).collect();
    assert_eq!(folders.len(), 2 * (2 + 4));
    assert_eq!(
        folders[..3],
        ["emoji_all_few.1-seed-0", "emoji_all_few.2-seed-0", "emoji_alone_few.1-seed-0"]
    );
    assert_ne!(runs[0].experiment.data.path, runs[6].experiment.data.path);
    let rounds: Vec<_> = runs[2..6].iter().map(|run| run.experiment.training.rounds).collect();
    assert_eq!(rounds, [1, 2, 1, 2]);
}

#[test]
fn a_row_may_be_called_by_a_number() {
    let sweep = read(&format!("{BASE}[[rows]]\nname = '16'\n[[rows]]\nname = 'true'")).unwrap();
    assert_eq!(folders(&sweep), ["16-seed-0", "true-seed-0"]);
}

#[test]
fn mistakes_are_named() {
    let axis = |values: &str| format!("[[axes]]\nname = 'rank'\nvalues = [{values}]\n");
    let one = axis("{ name = '1' }, { name = '2' }");
    let two = format!("{one}[[axes]]\nname = 'b'\nvalues = [{{ name = 'c' }}, {{ name = 'd' }}]\n");
    let three =
        format!("{two}[[axes]]\nname = 'e'\nvalues = [{{ name = 'f' }}, {{ name = 'g' }}]\n");
    for (text, what) in [
        ("rows = []".to_owned(), "rows: the list is empty"),
        ("seeds = [1, 1]\n[[rows]]\nname = 'a'".into(), "seeds"),
        ("seeds = []\n[[rows]]\nname = 'a'".into(), "seeds"),
        ("compare = 'novel'\n[[rows]]\nname = 'a'".into(), "compare: there is nothing"),
        (
            "compare = 'best'\n[[rows]]\nname = 'a'".into(),
            "known are mean, weighted, worst-client, other-clients, novel",
        ),
        ("partition_seeds = [2, 2]\n[[rows]]\nname = 'a'".into(), "partition_seeds: "),
        ("partition_seeds = []\n[[rows]]\nname = 'a'".into(), "partition_seeds: "),
        (
            "partition_seeds = [1]\nset = ['data.seed=2']\n[[rows]]\nname = 'a'".into(),
            "set: \"data.seed=2\" has no effect",
        ),
        ("[[rows]]\nname = 'a b'\n[[rows]]\nname = 'A, B!'".into(), "\"A, B!\" and \"a b\""),
        ("[[rows]]\nname = '+'".into(), "no letter or digit"),
        ("row = 3\n[[rows]]\nname = 'a'".into(), "`row`"),
        ("[[rows]]\nname = 'a'\neach = ['seed=1']".into(), "row \"a\": \"seed=1\""),
        ("set = [' name = y']\n[[rows]]\nname = 'a'".into(), "name = y"),
        (format!("{one}[[rows]]\nname = 'a'"), "rows and axes"),
        (axis(""), "axis \"rank\": it has no values"),
        (format!("{one}{one}"), "axes.name: \"rank\" and \"rank\""),
        (axis("{ name = 'a b' }, { name = 'a-b' }"), "axis \"rank\", value: \"a-b\" and \"a b\""),
        (axis("{ name = '-1' }, { name = '1' }"), "\"rank 1\" and \"rank -1\""),
        (axis("{ name = '?' }"), "axis \"rank\", value: \"?\" has no letter"),
        (axis("{ name = '1', set = ['seed=2'] }"), "axis \"rank\", value \"1\": \"seed=2\""),
        (
            format!("skip = [{{ rnk = '1' }}]\n{one}"),
            "skip: \"rnk\" is not an axis; the axes are \"rank\"",
        ),
        (format!("skip = [{{ rank = '3' }}]\n{one}"), "skip: axis \"rank\" has no value \"3\""),
        (format!("skip = [{{ rank = 1 }}]\n{one}"), "in quotes"),
        (format!("skip = [{{ rank = [] }}]\n{one}"), "\"rank\" is empty"),
        (format!("skip = [{{}}]\n{one}"), "everything"),
        (format!("skip = [{{ rank = ['1', '2'] }}]\n{one}"), "every combination is left out"),
        (format!("baseline = 'x'\n{one}"), "no row \"x\"; rows are \"rank 1\""),
        (format!("baseline = {{ rank = '3' }}\n{one}"), "baseline: axis \"rank\" has no value"),
        (format!("baseline = {{}}\n{one}"), "baseline: name a row"),
        ("baseline = { rank = '3' }\n[[rows]]\nname = 'a'".into(), "needs [[axes]]"),
        (format!("{one}[figure]\nx = 'y'"), "figure.x: \"y\" is not an axis"),
        (format!("{two}[figure]\nx = 'b'\nseries = 'b'"), "is the axis x already"),
        (format!("{three}[figure]\nx = 'b'\nseries = 'e'"), "leave out `series`"),
        (format!("{one}[figure]\nx = 'rank'\ny = 'z'"), "`y`"),
    ] {
        let message = read(&format!("{BASE}{text}")).unwrap_err().to_string();
        assert!(message.contains(what), "{text}: {message}");
    }
    assert!(read(&format!("{BASE}[[rows]]\nname = '学习率'")).is_ok());
    assert!(read(&format!("{BASE}{three}[figure]\nx = 'b'")).is_ok());
    let outside = read("name = '../x'\nbase = 'quickstart'\n[[rows]]\nname = 'a'");
    assert!(outside.unwrap_err().to_string().contains("plain name"));
    let many: String = (0..120).map(|value| format!("{{ name = '{value}' }},")).collect();
    let many = format!("{}[[axes]]\nname = 'b'\nvalues = [{many}]", axis(&many));
    assert!(read(&format!("{BASE}{many}")).unwrap_err().to_string().contains("14400"));
}

#[test]
fn changes_that_do_not_fit_are_blamed_on_their_axis_or_row() {
    let message = |text: &str| read(text).unwrap().runs().unwrap_err().to_string();
    let nothing = message("name = 'x'\nbase = 'nothing'\n[[rows]]\nname = 'a'");
    assert!(nothing.contains("nothing"), "{nothing}");
    let row = message(&format!("{BASE}[[rows]]\nname = 'a'\nset = ['no.such=1']"));
    assert!(row.contains("row \"a\"") && row.contains("`no`"), "{row}");
    let axis = message(&format!("{BASE}{}", AXES.replace("lora.r=16", "lora.r=0")));
    assert!(axis.contains("axis \"rank\", value \"16\"") && axis.contains("lora.r"), "{axis}");
    let axis = message(&format!("{BASE}{}", AXES.replace("=fedfft", "=fedxxx")));
    assert!(axis.contains("axis \"method\", value \"FedFFT\""), "{axis}");
    let all = message(&format!("{BASE}set = ['no.such=1']\n{AXES}"));
    assert!(all.contains("row \"FLoRA, rank 1\"") && all.contains("`no`"), "{all}");
}

#[test]
fn names_that_are_too_long_for_a_folder_are_refused() {
    let of = |name: &str| {
        let sweep =
            read(&format!("{BASE}partition_seeds = [5]\n[[rows]]\nname = '{name}'")).unwrap();
        sweep.runs()
    };
    // "-draw-5-seed-0" has 14 bytes.
    assert_eq!(of(&"a".repeat(241)).unwrap()[0].folder.len(), 255);
    // A letter may have several bytes.
    for (name, length) in [("a".repeat(242), 256), ("é".repeat(150), 314)] {
        let error = of(&name).unwrap_err().to_string();
        let words = format!("row {name:?}: the name of a run's folder");
        assert!(error.contains(&words), "{error}");
        let words =
            format!("has {length} bytes, and file systems accept 255; shorten the name of the row");
        assert!(error.contains(&words), "{error}");
    }
    let axes = AXES.replace("name = 'FLoRA'", &format!("name = '{}'", "b".repeat(300)));
    let error = read(&format!("{BASE}{axes}")).unwrap().runs().unwrap_err().to_string();
    assert!(error.contains("shorten the name of its values"), "{error}");
}

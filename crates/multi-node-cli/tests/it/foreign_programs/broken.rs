//! Broken releases of applications whose server says that it is ready before it has loaded them.

use multi_node_it::within;

use super::python;
use crate::command::{Running, app, pids};
use crate::load::Load;

#[tokio::test]
async fn an_application_that_gunicorn_cannot_import_harms_nobody() {
    let Some(python) = python("gunicorn") else { return };
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::copy(app("server.py"), folder.path().join("application.py")).expect("a file of ours");
        let path = format!("{python}:{}", folder.path().display());
        // It says READY=1 before a worker has imported the application.
        let options = ["--ready", "notify", "--settle", "6s", "-e", &path];
        let program = ["--", "python3", "-m", "gunicorn", "application:wsgi"];
        let mut running = Running::start(&[&["-n", "2", "--bind", "127.0.0.1:0"], &options[..], &program].concat());
        let addr = running.addr().await;
        running.ready(2).await;
        let before = pids(addr, 2).await;
        std::fs::write(folder.path().join("application.py"), "import nope").expect("a file of ours");
        let load = Load::under_way(addr).await;
        let output = running.command(&["reload", "--wait"]).await;
        let (answered, lost) = load.stop().await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("gunicorn: {answered} answered, lost: {lost:?}; {said}");
        assert!(output.status.code() == Some(1) && said.contains("2 of 2 old nodes serve"), "{output:?}");
        assert!(lost.is_empty(), "{lost:?}");
        assert_eq!(pids(addr, 2).await, before);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

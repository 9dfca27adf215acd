"""Names of models: folders, files, ids in the Hugging Face cache, the default model."""
import pathlib
import shutil
import tempfile

import program
from program import ProgramTest, model

ID = "some-org/Some.Model_1"


class Resolve(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)

    def cache(self, hub, commit="0123456789abcdef0123456789abcdef01234567", ref=None):
        repository = hub / "models--some-org--Some.Model_1"
        (repository / "refs").mkdir(parents=True)
        shutil.copytree(model("llama-chat"), repository / "snapshots" / commit)
        (repository / "refs" / "main").write_text(commit if ref is None else ref)

    def environment(self, **more):
        names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
        return {**{name: "" for name in names}, "HOME": str(self.home), "HF_HUB_OFFLINE": "1", **{k: str(v) for k, v in more.items()}}

    def test_places_of_the_cache(self):
        for hub, variables in ((".cache/huggingface/hub", {}), ("a", {"HF_HUB_CACHE": self.home / "a"}),
                               ("b/hub", {"HF_HOME": self.home / "b"}), ("c/huggingface/hub", {"XDG_CACHE_HOME": self.home / "c"})):
            self.cache(self.home / hub)
            self.good("info", "-m", ID, env=self.environment(**variables))

    def test_what_is_not_in_the_cache(self):
        self.fails(66, "info", "-m", ID, env=self.environment(), says=ID)
        self.fails(66, "info", "-m", "one/two/three", env=self.environment(), says="no such file or folder")
        self.fails(66, "info", "-m", "../up", env=self.environment(), says="no such file or folder")

    def test_hostile_refs(self):
        for number, (code, ref) in enumerate(((65, ""), (65, "../../../../etc"), (65, "g" * 40), (65, "0" * 5000),
                                              (66, "fedcba9876543210fedcba9876543210fedcba98"))):
            hub = self.home / str(number)
            self.cache(hub, ref=ref)
            self.fails(code, "info", "-m", ID, env=self.environment(HF_HUB_CACHE=hub))

    def test_links_that_lead_out(self):
        self.cache(self.home / "hub")
        snapshot = next((self.home / "hub").rglob("config.json"))
        secret = self.home / "secret.json"
        shutil.move(snapshot, secret)
        snapshot.symlink_to(secret)
        self.fails(65, "info", "-m", ID, env=self.environment(HF_HUB_CACHE=self.home / "hub"), says="leads out")
        (self.home / "disk").symlink_to(self.home / "hub")
        snapshot.unlink()
        shutil.move(secret, snapshot)
        self.good("info", "-m", ID, env=self.environment(HF_HUB_CACHE=self.home / "disk"))

    def test_default_model(self):
        message = self.fails(66, "info", env=self.environment()).stderr
        self.assertIn("make demo", message)
        self.assertIn("SmolLM2-135M-Instruct", message)

    def test_no_home(self):
        environment = self.environment()
        environment["HOME"] = ""
        self.fails(66, "info", env=environment)
        self.fails(66, "info", "-m", ID, env=environment)


if __name__ == "__main__":
    program.main()

# make run        train the quick preset of the paper's four and the optimal configuration, where this machine can run them, and write the report
# make reproduce  the same at the paper's length: up to an hour on two cores
# make test       what is fast, each notebook once, one kill and resume: some minutes
# make test-all   everything
# make soak       the tests of faults, the long version: hundreds of kills, stops and damaged files
# make lab        JupyterLab on this machine only
# make cluster    a Dask scheduler and two workers on this machine, for gan-lib run --scheduler; Ctrl-C ends them
# make check      linters and types
# make reference  keep the finished runs of the paper's length in results/reference (of the weights a small generator's alone), and compare them there
# make precision  the same runs in float32 and in bf16, three seeds of GAN and five of CGAN: over an hour with -j2
# make choices    both models under sixteen combinations of what the paper leaves open: up to two hours with -j2
# make choices-long  two of the combinations at the paper's length: some hours, -j2 too
# make ablation   what each part of the optimal configuration gives, three seeds each: about an hour, machine alone
# make searches   a genetic algorithm, random search, TPE and the hand-made optimal configuration, three of each: about half an hour with -j2
# make classifier train the classifier that judges quality again, with its cross-validation: ten minutes of one core
# make quality    what each measure of quality makes of known damage: results/quality
# make readme     write README's tables from results/reference and results/bench
# make audit      look up requirements.lock in the database of known weaknesses
# make lock       resolve requirements.lock again from pyproject.toml
# make clean      remove the virtual environment

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help run reproduce test test-slow test-all soak lab cluster check reference precision choices choices-long ablation searches classifier quality readme lock audit clean

help:
	@sed -n 's/^# make/make/p' Makefile

run: $(STAMP)
	$(BIN)/gan-lib run --preset quick

reproduce: $(STAMP)
	$(BIN)/gan-lib run --preset paper

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-all: test test-slow

soak: $(STAMP)
	GAN_LIB_SOAK=1 $(BIN)/python -m pytest -s tests/faults

lab: $(STAMP)
	$(BIN)/jupyter lab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

# They end together, and listen to this machine alone: who reaches a scheduler can run anything on its workers.
CLUSTER := 127.0.0.1:8786
cluster: $(STAMP)
	@echo "$(BIN)/gan-lib run --scheduler tcp://$(CLUSTER)"
	@trap 'trap - INT TERM EXIT; kill $$(jobs -p) 2>/dev/null; wait' INT TERM EXIT; \
	$(BIN)/dask scheduler --host 127.0.0.1 --port 8786 --no-dashboard & \
	$(BIN)/dask worker --nthreads 1 --nworkers 2 --no-dashboard tcp://$(CLUSTER) & wait

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/shellcheck .ci/run $$(git ls-files 'lifecycle/*.sh')

reference: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme records
	$(BIN)/python -m gan_lib.studies.readme comparison

# One thread each, so that make -j2 keeps two cores busy without their getting in each other's way.
STUDY = $(BIN)/gan-lib run --preset paper --set threads=1 --set initialisation=pytorch --set evaluate_every=0
precision: precision-cgan-fp32 precision-gan-fp32 precision-cgan-bf16 precision-gan-bf16
	$(BIN)/python -m gan_lib.studies.readme precision

precision-gan-%: $(STAMP)
	$(STUDY) gan-cpu --seeds 0-2 --set epochs=300 --set precision=$* --results-dir results/precision/gan-$*

precision-cgan-%: $(STAMP)
	$(STUDY) cgan-cpu --seeds 0-4 --set epochs=60 --set precision=$* --results-dir results/precision/cgan-$*

# By Adam's first beta: each half has as much to do as the other.
choices: choices-0.9 choices-0.5
	$(BIN)/python -m gan_lib.studies.readme choices

choices-0.%: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme $@

# At the paper's length: the DCGAN article's choices, and those of the library that the paper's authors used.
LONG = $(BIN)/gan-lib run --preset paper --set threads=1 --results-dir results/choices
choices-long: choices-long-gan choices-long-cgan
	$(BIN)/python -m gan_lib.studies.readme choices

choices-long-gan: $(STAMP)
	$(LONG) gan-cpu --set evaluate_every=50 --set adam_beta1=0.5 --set initialisation=dcgan
	$(LONG) gan-cpu --set evaluate_every=50 --set initialisation=glorot

choices-long-cgan: $(STAMP)
	$(LONG) cgan-cpu --set initialisation=glorot
	$(LONG) cgan-cpu --set adam_beta1=0.5 --set initialisation=dcgan

ablation: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme ablation

# One thread each, the same seconds for each search; one seed of every kind before the next, so that all meet the same machine.
SEARCHES := $(foreach seed,0 1 2,$(foreach kind,nsga2 random tpe hand-made,searches-$(kind)-$(seed)))
searches: $(SEARCHES)
	$(BIN)/python -m gan_lib.studies.readme searches

searches-%: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme $@

classifier: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme classifier

quality: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme quality

readme: $(STAMP)
	$(BIN)/python -m gan_lib.studies.readme readme

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra notebooks --extra aws --extra cluster --extra dev \
		--no-header --no-annotate --no-emit-index-url pyproject.toml --output-file requirements.lock

audit: $(STAMP)
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

# Installed again only when the lock changes; half an installation leaves no stamp.
$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing requirements.lock into .venv: 6 GB on disk, once"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv

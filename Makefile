.DEFAULT_GOAL := help
.PHONY: help install test slow lint types coverage demo figures ci

help: ## List the targets
	@grep -E '^[a-z]+: .*##' Makefile | sed -E 's/^([a-z]+): .*## /\1\t/' | expand -t 12

install: ## Install the package as it is here, with what the tests need
	pip install -e ".[test]"

test: ## Run all tests, on up to four processes
	pytest

slow: ## Run the tests that take long, which neither pytest nor CI runs by default
	pytest -m slow

lint: ## Check the style of the code and its format
	ruff check .
	ruff format --check .

types: ## Check the types
	mypy

coverage: ## Run all tests and print which share of the lines they run; htmlcov/index.html shows the others
	pytest --cov --cov-report=html
	coverage report --format=total

demo: ## Train seven architectures on real ratings, compare them and export the best
	zoo demo --overwrite

figures: ## Put the architectures and their recorded figures into README.md
	zoo list --markdown > architectures.md
	sed -i -e '/<!-- architectures/,/<!-- \/architectures/{//!d}' -e '/<!-- architectures/r architectures.md' README.md
	rm architectures.md

ci: ## Do what CI does: install into a fresh environment, then lint, types and tests
	bash .ci/run

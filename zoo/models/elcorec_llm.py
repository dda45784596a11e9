"""A language model asked whether the user will like an item, told what `elcorec_graph` knows (ELCoRec, 2024).

A prompt has the user's profile, the last events with their ratings, the earlier events whose items are nearest to
the target, and the question. The expert, the graph of `elcorec_graph`, has a vector for the target. The vector is
projected to the width of the language model and put in the place of one token, the soft token. The score is the
log-odds of the answers yes and no.

Given a trained run (`train.pretrained.elcorec_graph`), the expert has its weights and keeps them, but drops ids in
training as `expert` says. Without such a run it is trained along. The language model starts from that of another run
if it is given one (`train.pretrained.elcorec_llm`).

Hparams:
    preset: A causal language model of keras-hub, as the name or the folder of a preset. Without one, a small GPT-2
        is trained from scratch on the words of the data; the next five hparams are about that one.
    embedding_dim: Its width.
    layers: Its transformer layers.
    heads: Heads of their attention.
    dropout: Share of units dropped in training.
    vocabulary: The most words it knows.
    lora_rank: Rank of adapters of the attention (Hu et al., 2021, arXiv:2106.09685). With them, only the adapters and
        the biases of the attention are trained. 0 trains the whole language model.
    soft_token: Whether the prompt carries the expert's vector.
    recent: How many of the last events are in the prompt.
    retrieved: How many earlier events, the nearest to the target by cosine of item texts; none without item texts.
    title_tokens: The most tokens of a title.
    expert: The hparams of the graph that are not those of `elcorec_graph` by default, e.g. `{"embedding_dim": 64}`.
    backbone: What a saved run remembers of the language model of its preset; not to be given.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from zoo.errors import UserError, unknown_name
from zoo.families import Pairs, Recommender
from zoo.layers import CatalogueRows
from zoo.layers.frozen import Frozen
from zoo.layers.interaction_graph import TARGET, InteractionGraph
from zoo.layers.language import (
    LanguageModel,
    described,
    from_description,
    preset_language_model,
    preset_tokenizer,
    small_language_model,
)
from zoo.layers.prompts import NO_TOKEN, Encode, NearestEvents, PromptTables, Texts, WordTokenizer
from zoo.options import check_options
from zoo.registry import register, spec
from zoo.schema import Schema

# The architecture whose graph is the expert.
EXPERT = "elcorec_graph"


@register(
    "elcorec_llm",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:2406.18825",
    tiny={
        "embedding_dim": 4,
        "layers": 1,
        "heads": 2,
        "vocabulary": 64,
        "recent": 1,
        "retrieved": 1,
        "title_tokens": 2,
        "expert": {"embedding_dim": 4, "heads": 2, "units": 4, "recent": 2},
    },
)
def elcorec_llm(
    schema: Schema,
    *,
    preset: str = "",
    embedding_dim: int = 64,
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
    vocabulary: int = 4096,
    lora_rank: int = 0,
    soft_token: bool = True,
    recent: int = 5,
    retrieved: int = 5,
    title_tokens: int = 5,
    expert: Mapping[str, object] | None = None,
    backbone: Mapping[str, object] | None = None,
) -> Pairs:
    least = {"recent": (recent, 0), "retrieved": (retrieved, 0), "lora_rank": (lora_rank, 0)}
    for name, (value, lowest) in {**least, "title_tokens": (title_tokens, 1)}.items():
        if value < lowest:
            raise UserError(f"{name} must be at least {lowest}. Received: {value}.")
    # A word of a preset may take several tokens.
    several = 3 if preset else 1
    tables = PromptTables(
        schema,
        title_tokens=title_tokens,
        rating_tokens=several,
        profile_tokens=2 * several,
        phrase_tokens=min(several, 2),
    )
    item, history, ratings = (schema.input(name) for name in ("item", "history", "history_rating"))
    # Operations of their own, because Keras takes what gives an input of the pair's network out of that network.
    title = keras.layers.Identity()(tables.titles(item))
    past = history.shape[1] - min(recent, history.shape[1])
    asked = [tables.phrase("User:", history), *tables.profile()]
    if recent:
        asked += [tables.phrase("Recent:", history), tables.events(history[:, past:], ratings[:, past:])]
    query, own = [ops.concatenate(asked, axis=1)], [title]
    prompt = [query[0]]
    texts = [CatalogueRows(schema.size("item"), feature) for feature in schema.role("item") if feature.kind == "text"]
    if texts and retrieved and past:
        target = keras.layers.Identity()(_text_vectors(texts, item))
        earlier, their_ratings = history[:, :past], ratings[:, :past]
        query, own = [*query, earlier, their_ratings], [*own, target]
        nearest = NearestEvents(min(retrieved, past), len(texts))
        found = nearest(earlier, their_ratings, _text_vectors(texts, earlier), target)
        prompt += [tables.phrase("Similar:", title), tables.events(*found)]
    prompt += [tables.phrase("Will the user like", title)]
    soft_place = sum(part.shape[1] for part in prompt)
    prompt += [ops.full_like(title[:, :1], NO_TOKEN), title, tables.phrase("? Answer:", title)]
    prompt = ops.concatenate(prompt, axis=1)

    if preset:
        network = from_description(backbone) if backbone else preset_language_model(preset)
        most = getattr(network, "max_sequence_length", None) or prompt.shape[1]
        if prompt.shape[1] > most:
            raise UserError(
                f"A prompt has {prompt.shape[1]} tokens, and {preset!r} takes {most}. "
                "Choose smaller recent, retrieved or title_tokens."
            )
    else:
        network = small_language_model(vocabulary, prompt.shape[1], embedding_dim, layers, heads, dropout)

    def tokenizer(groups: list[Sequence[str]]) -> Encode:
        return preset_tokenizer(preset) if preset else WordTokenizer(groups, vocabulary)

    def fill(texts: Texts) -> list[int]:
        return tables.set(texts, tokenizer)

    language_model = LanguageModel(network, soft_place, lora_rank, fill, name="language_model")
    if soft_token:
        graph = _graph(schema, expert or {})
        frozen = Frozen(graph.query, graph.item, graph.target)
        query, own = [*query, *frozen.query], [*own, *frozen.item]
        soft = keras.layers.Dense(language_model.dim, name="soft_projection")(frozen.both)
        logit = language_model(prompt, soft)
    else:
        logit = language_model(prompt)

    def start_from(trained: Mapping[str, Recommender]) -> None:
        for name, model in trained.items():
            if name == "elcorec_llm":
                language_model.start_from(model.get_layer("language_model"))
            elif name != EXPERT:
                raise unknown_name("architecture to start 'elcorec_llm' from", name, (EXPERT, "elcorec_llm"))
            elif not soft_token:
                raise UserError(f"'elcorec_llm' with soft_token=False makes no use of a pretrained {EXPERT!r}.")
            else:
                _check_fits(expert or {}, model)
                frozen.freeze(model.get_layer(TARGET).output)

    return Pairs(
        query=query,
        item=own,
        logit=logit,
        pretrained=start_from,
        resolved={"backbone": described(network)} if preset else {},
    )


def _text_vectors(texts: Sequence[CatalogueRows], items: keras.KerasTensor) -> keras.KerasTensor:
    """The vectors of the texts of `[batch, ...]` items side by side; encoders give unit ones."""
    vectors = [rows(items) for rows in texts]
    return ops.concatenate(vectors, axis=-1) if len(vectors) > 1 else vectors[0]


def _graph(schema: Schema, expert: Mapping[str, object]) -> InteractionGraph:
    """The graph of an `elcorec_graph` with some hparams."""
    usual, options = _of_graph(spec(EXPERT).hparams), spec(EXPERT).options
    check_options(expert, {name: options[name] for name in usual}, kind="hparam", of="expert")
    hparams = {**usual, **expert}
    return InteractionGraph(schema, dim=hparams.pop("embedding_dim"), **hparams)


def _of_graph(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Those hparams of an `elcorec_graph` that are about its graph."""
    names = {"embedding_dim", *inspect.signature(InteractionGraph).parameters}
    return {name: value for name, value in hparams.items() if name in names}


def _check_fits(expert: Mapping[str, object], trained: Recommender) -> None:
    """Raises a `UserError` unless a trained `elcorec_graph` has a graph like that of the expert."""
    # Dropout has no weights.
    usual, given = _of_graph(spec(EXPERT).hparams), _of_graph(trained.hparams)
    if {**usual, **expert, "id_dropout": given["id_dropout"]} != given:
        needed = {name: value for name, value in given.items() if value != usual[name]}
        raise UserError(
            f"The pretrained {EXPERT!r} has a graph of other hparams. Set hparams.expert={json.dumps(needed)}."
        )

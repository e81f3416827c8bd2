"""BERT for extractive question answering on packed windows: no padding outside attention.

The windows of a batch lie end to end on one flat token axis of length T. Every linear layer,
LayerNorm and GELU reads that axis as a [T, hidden] matrix; only attention needs to know where
windows begin and end. Architecture: Devlin et al., "BERT: Pre-training of Deep
Bidirectional Transformers for Language Understanding", 2019, with the span head of its
section 4.2. The modules have the names of a `BertForQuestionAnswering` checkpoint, except that
query, key and value are one matrix, `attention.self.qkv`.
"""

from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.checkpoints.config import GELU_APPROXIMATION, BertConfig
from spanqa_model.packed_bert.forms import FORMS
from spanqa_model.packed_bert.plan import Plan


class BertEmbeddings(nn.Module):
    """Word + position + token type embeddings, then LayerNorm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """All inputs [T], integers; returns [T, hidden]."""
        embeddings = self.word_embeddings(input_ids)
        embeddings = embeddings + self.position_embeddings(position_ids)
        embeddings = embeddings + self.token_type_embeddings(token_type_ids)
        normalized: Tensor = self.LayerNorm(embeddings)
        return normalized


class BertResidualOutput(nn.Module):
    """A linear layer, the residual connection and LayerNorm, in post-norm order."""

    def __init__(self, in_features: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """`hidden` [T, in_features], `residual` [T, hidden]; returns [T, hidden]."""
        normalized: Tensor = self.LayerNorm(self.dense(hidden).add_(residual))
        return normalized


class BertAttention(nn.Module):
    def __init__(self, config: BertConfig, attention: str) -> None:
        super().__init__()
        form = FORMS[attention].attention
        self.self = form(config.hidden_size, config.num_attention_heads)
        self.output = BertResidualOutput(config.hidden_size, config)

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        attended: Tensor = self.output(self.self(hidden, plan), hidden)
        return attended


class BertIntermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = nn.GELU(approximate=GELU_APPROXIMATION[config.hidden_act])

    def forward(self, hidden: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.dense(hidden))
        return activated


class BertLayer(nn.Module):
    def __init__(self, config: BertConfig, attention: str) -> None:
        super().__init__()
        self.attention = BertAttention(config, attention)
        self.intermediate = BertIntermediate(config)
        self.output = BertResidualOutput(config.intermediate_size, config)

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        attended = self.attention(hidden, plan)
        transformed: Tensor = self.output(self.intermediate(attended), attended)
        return transformed


class BertEncoder(nn.Module):
    """All layers; where `step` is not 0, they compute a number of rows that occurs often."""

    # TorchScript leaves out the branch that a constant rules out.
    __constants__ = ("numbers", "step")

    def __init__(self, config: BertConfig, attention: str) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            BertLayer(config, attention) for _ in range(config.num_hidden_layers)
        )
        self.step = 0
        self.numbers = 8

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [≥ T, hidden], rows after T without a meaning."""
        tokens = hidden.size(0)
        if self.step > 0:
            rows = padded_rows(tokens, self.step, self.numbers)
            hidden = functional.pad(hidden, [0, 0, 0, rows - tokens])
        for layer in self.layer:
            hidden = layer(hidden, plan)
        return hidden


def padded_rows(tokens: int, step: int, numbers: int) -> int:
    """How many rows linear layers are given for so many tokens: a multiple of `step`.

    oneDNN makes a program for each number of rows, which takes as long as some rows do. So there
    are few: from 2 `numbers` times the step on, so many for each power of two.
    """
    while 2 * numbers * step < tokens:
        step *= 2
    return (tokens + step - 1) // step * step


class PackedBertModel(nn.Module):
    def __init__(self, config: BertConfig, attention: str) -> None:
        super().__init__()
        self.planner = FORMS[attention].planner(
            config.vocab_size, config.type_vocab_size, config.max_position_embeddings
        )
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config, attention)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor) -> Tensor:
        dtype = self.embeddings.word_embeddings.weight.dtype
        plan: Plan = self.planner(input_ids, token_type_ids, window_lengths, dtype)
        hidden = self.embeddings(input_ids, token_type_ids, plan.position_ids)
        encoded: Tensor = self.encoder(hidden, plan)
        return encoded


class PackedBertForQuestionAnswering(nn.Module):
    """Start and end logits for every token of a packed batch of windows.

    Args:
        config: the shape of the checkpoint.
        attention: one of `FORMS`. "windowed" attends window by window, for CPUs. "grouped" pads
            queries, keys and values, inside attention only, so that one kernel serves many windows.
            It is for GPUs, where one launch for each window costs more than the padding.
    """

    def __init__(self, config: BertConfig, attention: str = "windowed") -> None:
        super().__init__()
        self.bert = PackedBertModel(config, attention)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the logits.

        Args:
            input_ids: int32 or int64 [T] (or [1, T]), the windows end to end.
            token_type_ids: of the same shape; 0 for the question part, 1 for the context part.
            window_lengths: int32 or int64 [W] (or [1, W]), with the sum T.

        Returns:
            Start logits and end logits, both float32 [T]. `qa_outputs` is float32 whatever the
            dtype of the other weights is.

        Raises:
            ValueError: lengths or ids exceed the model's limits or contradict each other. It is
                raised before any index is used. TorchScript raises `torch.jit.Error` instead, whose
                last line is the same message.
        """
        ids = input_ids.flatten()
        lengths = window_lengths.flatten().long()
        hidden = self.bert(ids, token_type_ids.flatten(), lengths)
        logits = self.qa_outputs(hidden.float())[: ids.size(0)]
        return logits[:, 0].contiguous(), logits[:, 1].contiguous()

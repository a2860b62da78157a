"""The words that a reader meets here: `llminspect help TOPIC`, and docs/reference/terms.md, which is made of it.

For each: its name and what else it is called; two lines about it; the page and the heading where it is explained; a
command that shows it. A line that is empty parts them.
"""

TERMS = """\
ablation | ablate
A part of the model, such as one head, is silenced: how much worse does the answer get?
Zero is an unusual value; --ablate-with mean puts the usual one there.
docs/09-looking-inside.md # Ablation: take a part away
llminspect forward "The capital of France is" --ablate 23.4

activation | ReLU, GELU, SiLU, gate
The function between the two matrices of feed forward, such as ReLU: max(0, h). It holds back what is not wanted.
The numbers inside a running model are called activations as well.
docs/07-feedforward.md # 7. Feed forward
llminspect forward "The capital of France is" --layer 20

attention | self-attention
The step in which tokens look at each other: each takes a weighted mean of what others give, their values.
The weights come from queries and keys.
docs/06-attention.md # 6. Self-attention
llminspect attend "Alice gave Bob her book"

attention weight | weight
How much a token (the query) takes from a token that it sees (the key): from 0 to 1.
All weights of one token in one head sum to 1.
docs/06-attention.md # By hand: A cat sat.
llminspect attend "A cat sat." --query cat --model toy-attention

attribution
The logit of an answer as a sum: how much each head and each feed-forward step added to it.
It is exact for what was added directly, and says nothing about effects that go through later layers.
docs/09-looking-inside.md # Attribution: who added what
llminspect forward "The capital of France is" --attribution

beam search | beams
Several texts are written at once, and those with the largest probability as a whole are kept.
Greedy writing follows one only and may miss a better one.
docs/08-next-token.md # The branches not taken
llminspect generate "The capital of France is" --beams 3 --max-tokens 5

cache | prepared
The folder with fetched models and with their weights made ready to be opened fast.
The KV cache is something else: the keys and values kept while a text is written.
README.md # Models
llminspect cache

chat template | chat
The rule that turns the messages of a chat into one text with special tokens.
Every model has its own; with the wrong one it answers badly.
docs/02-tokens.md # A chat
llminspect tokenize --chat --user "hello"

context | context length, window
The longest text, in tokens, that a model can read at once.
What is longer has to be cut; a token cannot see what is outside.
docs/02-tokens.md # What it costs
llminspect info smollm2

cosine similarity | cosine, similarity
How much two vectors point the same way: 1 the same direction, 0 at right angles, -1 opposite.
It is their dot product divided by both lengths.
docs/04-embeddings.md # Synonyms, and what else is near
llminspect embed "hello world" --similarity

cross-attention | encoder, decoder, encoder-decoder
In a model with two halves (translation), how the tokens that are written look at the text that was read.
The encoder reads the text, the decoder writes the answer.
README.md # Models
llminspect models --kinds

dot product | product
Multiply two lists of numbers entry by entry and add it all up.
It is large where both vectors point the same way; a matrix product is many of them.
docs/01-matrices.md # 1. A giant pile of matrix products
llminspect forward world --model toy

embedding
The vector that a model has learned for each token: one row of a table.
Tokens that are used in similar ways have vectors that point in similar directions.
docs/04-embeddings.md # 4. Embeddings
llminspect embed " king" --nearest 5

entropy
How evenly attention weights are spread. Here from 0 (all on one token) to 1 (the same on every token).
A head with low entropy chooses; one with high entropy takes a mean of everything.
docs/06-attention.md # A real head
llminspect attend "Alice gave Bob her book" --measure entropy

feed forward | feedforward, MLP, FFN
The step in which each token is worked on alone: a matrix, an activation, a second matrix.
It has most of the weights of a model, and much of what the model knows.
docs/07-feedforward.md # 7. Feed forward
llminspect forward "The capital of France is" --layer 20

head | attention head
One attention by itself, with its own queries, keys and values; a layer has several side by side.
3.2 is head 2 of layer 3. Each head has learned to look for something different.
docs/06-attention.md # A real head
llminspect attend "Alice gave Bob her book"

id | token id
The number of a token: its place in the vocabulary, counted from 0.
It says nothing about the meaning; tokens with neighbouring ids may have nothing in common.
docs/03-encoding.md # 3. Encoding
llminspect encode "Alice gave Bob her book"

induction head | induction
A head that looks at what came after an earlier place of the same token.
It lets a model repeat: after "one two … one" it finds "two".
docs/06-attention.md # A real head
llminspect attend "one two three one two" --measure induction

KL divergence | KL, Kullback-Leibler divergence
How far two lists of probabilities are apart, in bits: 0 if they are the same, without an upper end.
The mean number of bits lost by expecting the second where the first is true.
docs/09-looking-inside.md # Ablation: take a part away
llminspect diff "A cat sat" --against "A dog sat"

KV cache | key/value cache
The keys and values of the tokens so far, kept while a text is written.
Each new token is then one row of work and not the whole text again.
docs/08-next-token.md # 8. The next token, and text again
llminspect generate "Once upon a time" --max-tokens 20

layer | block
One attention step and one feed-forward step; a model does many of them in a row (30 in SmolLM2).
Layers count from 0.
docs/05-transformer.md # Every step of one layer
llminspect forward "A cat sat." --layer 3

lens | logit lens
What each layer would say if it were the last: the final norm and the output matrix applied to its stream.
It shows where an answer can first be read, not where the model first knew it.
docs/09-looking-inside.md # The lens: what each layer would say
llminspect forward "The capital of France is" --lens

logit
The score of a token as the next one, before it is made a probability. It may have any size.
Only differences count: a token whose logit is 1 higher is e ≈ 2.7 times as probable as the other.
docs/08-next-token.md # 8. The next token, and text again
llminspect forward "The capital of France is"

LoRA | adapter, fine-tuning
Small matrices that are added to the large ones of a model to change what it does.
An adapter is a file with such matrices; --adapter adds it.
README.md # Models
llminspect info --help

mask | causal, causal mask
What hides tokens: in a model that writes, a token sees itself and those before it, never those after.
[MASK] in models that fill gaps is something else: a token that stands in place of one to be guessed.
docs/06-attention.md # A real head
llminspect attend "A cat sat."

mixture of experts | MoE, expert, router
Many feed-forward steps side by side, of which a router picks a few for each token.
The model has many weights, and only a part of them is used for one token.
README.md # Models
llminspect models --kinds

neuron | hidden unit, unit
One number in the middle of a feed-forward step: how strongly its pattern is present in the token's vector.
What it writes into the stream is that number times a fixed vector.
docs/10-heads.md # A neuron
llminspect neuron 20.7

norm | normalization, layer norm, RMSNorm
A step that brings each vector to a standard length before attention or feed forward reads it.
In tables "norm" is also the length of a vector: the square root of the sum of its squares.
docs/05-transformer.md # Every step of one layer
llminspect forward "A cat sat." --layer 3

one-hot
A vector that is 0 everywhere but at one place, where it is 1.
A matrix times such a vector is a look-up: it picks one row of the matrix.
docs/03-encoding.md # One-hot: a name as a vector
llminspect encode "HI" --letters --one-hot

OV circuit | OV, QK, QK circuit, circuit
What a head writes for each token that it looks at (OV), and which tokens it looks for (QK).
Both are products of the head's matrices: they are read from the weights alone, without a text.
docs/10-heads.md # 10. One head, one neuron by itself
llminspect head 23.4

parameter | matrix
One of the numbers that a model has learned; SmolLM2 has 134 million of them.
They stay the same whatever text is read.
docs/01-matrices.md # The same thing, 134 million numbers
llminspect info smollm2

patching | patch, activation patching
One vector of a run on another text is put into this run: what changes then is due to that vector.
A table of all places shows where the difference between two texts is kept.
docs/09-looking-inside.md # Patching: change one thing
llminspect forward "The capital of France is" --patch "The capital of Italy is"

perplexity
2 to the power of the mean surprise: among how many equally probable tokens a model was choosing.
1 is perfect; for a pure guess it is the number of tokens in the vocabulary.
docs/08-next-token.md # Choosing
llminspect forward "The capital of France is Paris" --surprise

probability | probabilities, next token
How likely a token is to come next, as the model sees it: from 0 to 1; those of all tokens sum to 1.
It is the softmax of the logits.
docs/08-next-token.md # 8. The next token, and text again
llminspect forward "The capital of France is"

quantization | quantized, GGUF, Q4_K
Weights are rounded to few bits (4 or 8 in place of 16 or 32), so that a model takes less space.
The numbers change a little; `info` shows how many bits each part takes.
docs/scale.md # Without JAX: the file's own 4 to 16 bits
llminspect info smollm2

query, key and value | query, key, value, qkv, query/key/value
Three vectors made of each token: what it looks for, what it is found by, what it gives.
A query times a key is a score; the softmax makes weights of the scores; the values are mixed by them.
docs/06-attention.md # 6. Self-attention
llminspect attend "A cat sat." --query cat --model toy-attention

residual stream | stream, residual
The vectors, one for each token, that run through all layers.
Each step reads them and adds to them; nothing is replaced, so every answer is a sum of parts.
docs/05-transformer.md # 5. The Transformer
llminspect forward "A cat sat." --trace

rotary position | RoPE, rotary, position, positional encoding
How a model knows where a token stands: queries and keys are turned by an angle that grows with the place.
So a score depends on how far apart two tokens are. Older models add a vector for each place instead.
docs/05-transformer.md # All at once, and one after the other
llminspect attend "A cat sat." --layer 3 --head 2 --show scores

saliency | gradient
How much the answer depends on each token of the text.
Measured by leaving each token out, or by the gradient: the change for a tiny change of its vector.
docs/09-looking-inside.md # Attribution: who added what
llminspect forward "The capital of France is" --saliency

sink | attention sink
The weight on the first token of a text, where a head puts its weight when it finds nothing to look for.
A weight there says little about the meaning of the first token.
docs/06-attention.md # A real head
llminspect attend "Alice gave Bob her book" --measure sink

softmax
Turns any scores into shares that sum to 1: e to the power of each, divided by the sum of all of these.
The largest score takes most; the order stays.
docs/08-next-token.md # 8. The next token, and text again
llminspect forward world --model toy

special token | BOS, EOS
A token that stands for no piece of text: the start or end of a text, a change of speaker, a mask.
The tokenizer or the chat template puts it there.
docs/02-tokens.md # A chat
llminspect tokenize --chat --user "hello"

state | recurrence, Mamba, state space
What some models keep in place of attention: a table of fixed size, updated with each token.
It costs the same for every token, however long the text; what was read is remembered in part.
README.md # Models
llminspect models --kinds

steering | steer, steering vector
A direction, such as the difference between two texts, is added to the stream of a layer.
If the text that follows changes as the direction says, the model uses that direction.
docs/09-looking-inside.md # Steering: add a direction
llminspect generate "I think" --steer "love - hate@10*4"

surprise | surprisal, bits
How unexpected a token was: minus the logarithm (to base 2) of its probability, in bits.
1 bit: a probability of one half; 10 bits: about one in a thousand.
docs/08-next-token.md # Choosing
llminspect forward "The capital of France is Paris" --surprise

temperature
Logits are divided by it before the softmax: below 1 the probable becomes more probable,
above 1 all tokens come closer to each other. At 0 the most probable token is always taken.
docs/08-next-token.md # Choosing
llminspect generate "Once upon a time" --temperature 0.8 --seed 1

token | subword
A piece of text that the model knows as one: a word, a part of a word, a punctuation mark or a byte.
A model reads and writes nothing but tokens; · in a token stands for its space.
docs/02-tokens.md # Word, subword, character
llminspect tokenize "naïve café"

tokenizer | vocabulary, BPE, byte pair encoding
The program that cuts a text into tokens and puts tokens back together to a text.
It belongs to one model: its vocabulary is the list of all tokens that this model knows.
docs/02-tokens.md # Where the pieces come from
llminspect tokenize "naïve café" --compare smollm2 --compare bytes

top-p | top-k, nucleus, sampling, min-p, greedy
Only the most probable tokens are drawn from: so many that together they have probability p.
Top-k: the k most probable. Greedy: no drawing, always the most probable.
docs/08-next-token.md # Choosing
llminspect generate "Once upon a time" --temperature 1 --top-p 0.9 --seed 1

vector | dimension
A list of numbers: a point, or a direction, in a space with as many dimensions as there are numbers.
Each token is a vector of D numbers on its way through the model (576 in SmolLM2).
docs/04-embeddings.md # What the dimensions are
llminspect embed "hello"
"""

"""What a type checker refuses: each line that is wrong says which error it is."""

import bertedge

tagger = bertedge.load("x", task="token-classification")
label = tagger.predict_one("a").label  # error: attr-defined
bertedge.load("x", task="fill-mask", problem_type="regression")  # error: call-overload
bertedge.load("x", task="text-clasification")  # error: call-overload
entities = bertedge.load("x").predict_one("a").entities  # error: union-attr
bertedge.load("x", task="text-classification").predict([1])  # error: list-item

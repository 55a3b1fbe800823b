"""What `pii_masking` finds and what it leaves alone, measured on two corpora.

`composed` has what it promises, format by format; `held_out` was written before its patterns were read, in the words of
logs. Values are made from public formats by `values`, with check digits worked out here and not by the plugin.
"""

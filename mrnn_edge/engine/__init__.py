"""The bytes of graphs in, functions over arrays out. The only importer of onnxruntime."""
